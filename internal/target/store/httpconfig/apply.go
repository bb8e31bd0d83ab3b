package httpconfig

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// The time between two questions for an effect grows from the first to the last.
const (
	firstWait = 20 * time.Millisecond
	lastWait  = time.Second
)

// Check implements [store.Checker].
func (s *session) Check(ctx context.Context, changes []live.Change) error {
	for _, c := range changes {
		if err := s.possible(c); err != nil {
			return err
		}
		if s.requests.check == nil {
			continue
		}
		a, err := s.send(ctx, *s.requests.check, c, "")
		if err != nil {
			return err
		}
		if err := s.judge(a, *s.requests.check, c.Setting); err != nil {
			return err
		}
	}

	return nil
}

// possible refuses what no request can do.
func (s *session) possible(c live.Change) error {
	if p := s.misplaced(c.Setting); p != nil {
		return &store.RefusedError{Setting: c.Setting, Reason: p.Message}
	}
	if !c.To.Set {
		return &store.RefusedError{Setting: c.Setting, Reason: "cannot be unset: an HTTP endpoint has no request for it"}
	}

	return nil
}

// Apply implements [store.Session]: the requests one after the other, then their effects.
func (s *session) Apply(ctx context.Context, changes []live.Change) error {
	for _, c := range changes {
		if err := s.possible(c); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := s.applyOne(ctx, c); err != nil {
			return err
		}
	}
	if s.requests.effect == nil {
		return nil
	}
	waited := map[string]bool{}
	for _, c := range changes {
		u, _ := s.requests.effect.place.at(s.endpoint, c.Setting) // possible has looked at it
		if waited[u.String()] {
			continue
		}
		waited[u.String()] = true
		if err := s.await(ctx, c.Setting); err != nil {
			return err
		}
	}

	return nil
}

func (s *session) applyOne(ctx context.Context, c live.Change) error {
	s.mu.Lock()
	tag := s.tags[c.Setting]
	delete(s.tags, c.Setting) // it is another one from here on
	s.mu.Unlock()
	a, err := s.send(ctx, s.requests.apply, c, tag)
	if err != nil {
		return err
	}
	if a.status == http.StatusPreconditionFailed && tag != "" {
		return fmt.Errorf("%s at %s: somebody else has changed it since it was read (412)", c.Setting.ID(), s.endpoint.Host)
	}
	err = s.judge(a, s.requests.apply, c.Setting)
	if err != nil && a.status >= 500 && s.requests.effect != nil {
		// An endpoint that fails at a change answers so as well. The effect knows which it is.
		if seen, asked := s.look(ctx, c.Setting); asked == nil && seen != "" {
			return &store.RefusedError{Setting: c.Setting, Reason: fmt.Sprintf("is answered with %s, and %s", a, seen)}
		}
	}

	return err
}

// send sends a value.
func (s *session) send(ctx context.Context, r request, c live.Change, tag string) (answer, error) {
	u, err := r.place.at(s.endpoint, c.Setting)
	if err != nil {
		return answer{}, err
	}
	header := http.Header{}
	// With the tag it can be done only once, as far as the tag is that of what is changed.
	again := tag != "" && s.readAt(c.Setting) == u.String()
	if tag != "" {
		header.Set("If-Match", tag)
	}
	if r.OmitBody {
		return s.do(ctx, r.Method, u, "", header, again)
	}
	header.Set("Content-Type", contentType(r.ContentType, c.To.Text))

	return s.do(ctx, r.Method, u, c.To.Text, header, again)
}

// readAt is where a setting is read; empty where it is not.
func (s *session) readAt(setting live.Setting) string {
	if s.requests.read == nil {
		return ""
	}
	u, err := s.requests.read.at(s.endpoint, setting)
	if err != nil {
		return ""
	}

	return u.String()
}

// judge says what an answer means for a change.
func (s *session) judge(a answer, r request, setting live.Setting) error {
	switch {
	case a.ok():
		return nil
	case a.passing():
		return fmt.Errorf("%s %s at %s: it answers %s", r.Method, r.place.path, s.endpoint.Host, a)
	case a.status >= 300 && a.status < 400:
		return &store.RefusedError{
			Setting: setting, Reason: fmt.Sprintf("is answered with %s, a redirect, which is not followed: give the path that it leads to", a),
		}
	default:
		return &store.RefusedError{Setting: setting, Reason: fmt.Sprintf("%s %s is answered with %s", r.Method, r.place.path, a)}
	}
}

// effect is what shows that a change is in force.
type effect struct {
	lockstepv1alpha1.HTTPEffect

	place place
	// series and number are those of a metric; series is nil when it is the whole answer.
	series *series
	number float64
}

func readEffect(e lockstepv1alpha1.HTTPEffect) (*effect, error) {
	p, err := readPlace(e.Path)
	if err != nil {
		return nil, err
	}
	read := &effect{HTTPEffect: e, place: p}
	if e.Metric == "" {
		return read, nil
	}
	one, err := readSeries(e.Metric)
	if err != nil {
		return nil, err
	}
	if read.number, err = strconv.ParseFloat(e.Equals, 64); err != nil {
		return nil, fmt.Errorf("the effect's metric cannot equal %q, which is not a number", e.Equals)
	}
	read.series = &one

	return read, nil
}

func (e *effect) at() *place {
	if e == nil {
		return nil
	}

	return &e.place
}

// judge says how an answer is not the effect; empty when it is.
func (e *effect) judge(body string) (string, error) {
	if e.series == nil {
		if strings.TrimSuffix(body, "\n") == strings.TrimSuffix(e.Equals, "\n") {
			return "", nil
		}

		return fmt.Sprintf("%s does not answer what it should", e.Path), nil // what it answers may be the value
	}
	values, err := e.series.values(body)
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", e.Metric, e.Path, err)
	}
	for _, v := range values {
		if v != e.number {
			return fmt.Sprintf("%s is %s, not %s", e.Metric, number(v), e.Equals), nil
		}
	}

	return "", nil
}

// look asks for the effect once: how it is not there, or why that cannot be told.
func (s *session) look(ctx context.Context, setting live.Setting) (string, error) {
	u, err := s.requests.effect.place.at(s.endpoint, setting)
	if err != nil {
		return "", err
	}
	a, err := s.get(ctx, u)
	if err != nil {
		return "", err
	}
	if !a.ok() {
		return "", fmt.Errorf("GET %s at %s: it answers %s", u.Path, u.Host, a)
	}

	return s.requests.effect.judge(a.body)
}

// await asks for the effect until it is there or the time is over.
func (s *session) await(ctx context.Context, setting live.Setting) error {
	deadline := s.clock.Now().Add(s.target.Command)
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		seen, err := s.look(ctx, setting)
		if err == nil && seen == "" {
			return nil
		}
		if left := deadline.Sub(s.clock.Now()); left <= 0 {
			if err != nil {
				return fmt.Errorf("whether %s is in force cannot be told: %w", setting.ID(), err)
			}

			return &store.RefusedError{Setting: setting, Reason: "was taken, but " + seen}
		} else if left < wait {
			wait = left
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the effect of %s: %w", setting.ID(), context.Cause(ctx))
		case <-s.closed.Done():
			return fmt.Errorf("wait for the effect of %s: the session was closed", setting.ID())
		case <-s.clock.After(wait):
		}
	}
}
