package ceph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// parseSetting refuses what Ceph cannot have. The error completes a sentence that begins with the setting's name.
func parseSetting(s live.Setting) (target, error) {
	if s.Password || s.Database != "" || s.Role != "" || s.Prefix != "" {
		return target{}, errors.New("has a database, a role, a prefix or a password: Ceph knows a who and a name alone")
	}

	if err := checkName(s.Name); err != nil {
		return target{}, err
	}

	return parseTarget(s.Who)
}

// addressed is parseSetting, with what is wrong as a problem of the setting.
func addressed(s live.Setting) (target, *live.Problem) {
	t, err := parseSetting(s)
	if err != nil {
		return t, &live.Problem{Cause: live.CauseUnknown, Message: err.Error()}
	}

	return t, nil
}

// Read asks the monitors for what is stored, and for what runs where they can tell.
func (s *session) Read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	if err := s.settle(ctx); err != nil {
		return nil, err
	}

	deadline := s.clock.Now().Add(lag)

	for pause := 2 * time.Millisecond; ; pause *= 2 {
		states, lagging, err := s.read(ctx, settings)
		if err != nil || !lagging || !s.clock.Now().Add(pause).Before(deadline) {
			return states, err
		}

		// What was just written is in the database and not yet in the monitor: it would look as if it had not worked.
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read from Ceph: %w", context.Cause(ctx))
		case <-s.clock.After(pause):
		}
	}
}

// read looks once. It says too whether a monitor lags behind the database.
func (s *session) read(ctx context.Context, settings []live.Setting) ([]live.State, bool, error) {
	stored, views, err := s.look(ctx, settings)
	if err != nil && !denied(err) {
		return nil, false, err
	}

	blind := err != nil
	states := make([]live.State, len(settings))
	lagging := false

	for i, setting := range settings {
		if blind {
			states[i] = live.State{Setting: setting, Problem: &live.Problem{
				Cause: live.CauseDenied, Message: `cannot be read: the entity lacks the capability: allow command "config dump"`,
			}}

			continue
		}

		state, lags, err := s.state(ctx, setting, stored, views)
		if err != nil {
			return nil, false, err
		}

		states[i] = state
		lagging = lagging || lags
	}

	return states, lagging, nil
}

// look takes the database and, if a setting is for monitors, what they run.
func (s *session) look(ctx context.Context, settings []live.Setting) (dump, []view, error) {
	var (
		views []view
		group sync.WaitGroup
	)

	if !s.noObserve.Load() && slices.ContainsFunc(settings, func(setting live.Setting) bool {
		t, err := parseSetting(Normalise(setting))

		return err == nil && t.asksMonitors()
	}) {
		group.Go(func() { views = s.observe(ctx) })
	}

	stored, err := s.dump(ctx)

	group.Wait()

	return stored, views, err
}

// state is what one look says of one setting.
func (s *session) state(ctx context.Context, given live.Setting, stored dump, views []view) (live.State, bool, error) {
	state, setting := live.State{Setting: given}, Normalise(given)

	t, problem := addressed(setting)
	if problem != nil {
		state.Problem = problem

		return state, false, nil
	}

	entry, found := stored.find(t, setting.Name)
	if found {
		state.Stored = live.Text(entry.text)
	}

	known, err := s.option(ctx, setting.Name)
	if err != nil {
		return live.State{}, false, err
	}

	state.Rule, state.Problem, state.Restart = known.rule, known.problem, known.rule != nil && !known.schema.Runtime

	switch {
	case known.rule == nil:
		return state, false, nil
	case entry.damaged:
		state.Rule, state.Problem = nil, &live.Problem{
			Cause: live.CauseFixed, Message: "has a value that is not UTF-8 and could not be put back: set it by hand first",
		}

		return state, false, nil
	}

	told := judge(t, known.schema, known.rule, state.Stored, stored, views)
	state.Running, state.ShadowedBy = told.running, told.shadowedBy

	return state, told.lagging, nil
}

// observe asks the running monitors. What cannot be told is left out: it is no reason to know nothing.
func (s *session) observe(ctx context.Context) []view {
	ctx, cancel := s.bounded(ctx, min(s.command, 2*tellTimeout))
	defer cancel()

	views, err := s.views.get(ctx, s.askMonitors)
	if err != nil {
		return nil
	}

	return views
}

func (s *session) askMonitors(ctx context.Context) ([]view, error) {
	monitors, err := s.quorum(ctx)
	if err != nil {
		return nil, err
	}

	views := make([]view, len(monitors))

	var group sync.WaitGroup

	for i, monitor := range monitors {
		group.Go(func() { views[i] = s.askMonitor(ctx, monitor) })
	}

	group.Wait()

	return slices.DeleteFunc(views, func(v view) bool { return v.monitor == "" }), nil
}

// quorum returns the monitors that are worth asking.
func (s *session) quorum(ctx context.Context) ([]string, error) {
	ctx, cancel := s.bounded(ctx, min(s.command, tellTimeout))
	defer cancel()

	reply, err := s.cluster.Do(ctx, ask("mon dump"))
	if err != nil {
		s.giveUpIfDenied(err)

		return nil, err
	}

	monitors, err := parseQuorum(reply.Out)
	if err != nil {
		return nil, err
	}

	now := s.clock.Now()

	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.DeleteFunc(monitors, func(name string) bool { return now.Before(s.silent[name]) }), nil
}

// askMonitor returns the zero view when the monitor does not tell.
func (s *session) askMonitor(ctx context.Context, monitor string) view {
	bounded, cancel := s.bounded(ctx, min(s.command, tellTimeout))
	defer cancel()

	reply, err := s.cluster.Tell(bounded, monitor, ask("config diff"))
	if err != nil {
		s.giveUpIfDenied(err)

		if bounded.Err() != nil && ctx.Err() == nil {
			s.mu.Lock()
			defer s.mu.Unlock()

			s.silent[monitor] = s.clock.Now().Add(sulk)
		}

		return view{}
	}

	options, err := parseDiff(reply.Out)
	if err != nil {
		return view{}
	}

	return view{monitor: monitor, options: options}
}

func (s *session) giveUpIfDenied(err error) {
	if denied(err) {
		s.noObserve.Store(true)
	}
}
