package ceph

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
)

const (
	// schemaAge is how long the schema of an option is believed: an upgrade may change it while the connection lives on.
	schemaAge = 10 * time.Minute
	// lag is how long a monitor is given to take up what the database has: two to four milliseconds are usual.
	lag = 250 * time.Millisecond
	// tellTimeout bounds what one monitor may hold up a look at the running ones.
	tellTimeout = time.Second
	// sulk is how long a monitor is not asked that did not answer.
	sulk = 30 * time.Second
)

// connection is a commander that can be closed.
type connection interface {
	rados.Commander
	Close()
}

var (
	_ store.Session = (*session)(nil)
	_ store.Prober  = (*session)(nil)
	_ store.Witness = (*session)(nil)
)

// session is with all monitors of a cluster.
type session struct {
	cluster connection
	// entity is who we are for the monitors.
	entity  string
	clock   clock.Clock
	command time.Duration
	// seed keeps a digest of the database from being compared with that of a known text.
	seed    []byte
	version string

	dumps share[dump]
	views share[[]view]

	processes share[[]process]

	// noObserve, noLog and noSessions are set when the monitors do not let this entity ask: they are not asked again.
	noObserve, noLog, noSessions atomic.Bool

	// mu guards what is below.
	mu      sync.Mutex
	schemas map[string]known
	helps   map[string]*share[option]
	silent  map[string]time.Time
	// unsettled is the last write that was not answered, nil when all were.
	unsettled *write
}

// write is where something was written.
type write struct{ who, name string }

// known is a schema with the time when it was learnt.
type known struct {
	option option
	at     time.Time
}

// option is what the monitors say of an option.
type option struct {
	schema schema
	// rule is nil when there is a problem that nothing helps against.
	rule    live.Rule
	problem *live.Problem
}

func newSession(cluster connection, entity string, clk clock.Clock, command time.Duration) *session {
	return &session{
		cluster: cluster, entity: entity, clock: clk, command: command, seed: []byte(rand.Text()), version: "Ceph",
		dumps: share[dump]{clock: clk}, views: share[[]view]{clock: clk}, processes: share[[]process]{clock: clk},
		schemas: map[string]known{}, helps: map[string]*share[option]{}, silent: map[string]time.Time{},
	}
}

// Version is "Ceph" and the release, without it when the entity may not ask.
func (s *session) Version() string { return s.version }

// Close ends the session.
func (s *session) Close() { s.cluster.Close() }

// Apply makes one change after the other.
func (s *session) Apply(ctx context.Context, changes []live.Change) error {
	for _, change := range changes {
		if err := s.apply(ctx, change); err != nil {
			return err
		}
	}

	return nil
}

func (s *session) apply(ctx context.Context, change live.Change) error {
	setting := Normalise(change.Setting)

	t, err := parseSetting(setting)
	if err != nil {
		return &store.RefusedError{Setting: change.Setting, Reason: err.Error()}
	}

	command := map[string]any{"prefix": "config rm", "who": t.String(), "name": setting.Name}

	var why error

	if change.To.Set {
		if _, err := readText(change.To.Text); err != nil {
			return &store.RefusedError{Setting: change.Setting, Reason: err.Error()}
		}

		command["prefix"], command["value"] = "config set", change.To.Text
		why = s.objection(setting.Name, change.To.Text)
	}

	reply, err := s.do(ctx, command)
	if err == nil {
		return nil
	}

	err = refused(change.Setting, fmt.Sprint(command["prefix"]), t, setting.Name, why, reply.Status, err)
	if _, answered := errors.AsType[*store.RefusedError](err); !answered {
		s.mu.Lock()
		defer s.mu.Unlock()

		s.unsettled = &write{who: t.String(), name: setting.Name}
	}

	return err
}

// settle returns when no write is under way any more that was not answered. A monitor that was frozen answers questions
// before it commits what it was told to write, so a read would find the old value a few milliseconds before the new one
// comes. What waits for the writes before it is a write: this one has arguments of wrong types, for which every monitor
// refuses it when its turn comes, and it needs no other capability than the write that it waits for.
func (s *session) settle(ctx context.Context) error {
	s.mu.Lock()
	last := s.unsettled
	s.mu.Unlock()

	if last == nil {
		return nil
	}

	_, err := s.do(ctx, map[string]any{"prefix": "config set", "who": last.who, "name": last.name, "value": 0, "force": 0})
	if !errors.Is(err, syscall.EINVAL) && !denied(err) {
		return fmt.Errorf("wait for a write that was not answered: %w", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if s.unsettled == last {
		s.unsettled = nil
	}

	return nil
}

// objection is what our own knowledge of an option has against a text, to explain a refusal of the monitors.
func (s *session) objection(name, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	known := s.schemas[name].option

	switch {
	case known.rule != nil:
		return known.rule.Check(text)
	case known.problem != nil:
		return errors.New(known.problem.Message)
	default:
		return nil
	}
}

// do sends a command and waits for the answer as long as one command may take.
func (s *session) do(ctx context.Context, command map[string]any) (rados.Reply, error) {
	ctx, cancel := s.bounded(ctx, s.command)
	defer cancel()

	return s.cluster.Do(ctx, command)
}

func (s *session) bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("no answer within %s", d))
}

func (s *session) learnVersion(ctx context.Context) error {
	reply, err := s.do(ctx, ask("version"))

	switch {
	case err == nil:
		if release := parseVersion(reply.Out); release != "" {
			s.version = "Ceph " + release
		}

		return nil
	case denied(err):
		return nil
	default:
		return err
	}
}

// ask is a question whose answer is JSON.
func ask(prefix string) map[string]any {
	return map[string]any{"prefix": prefix, "format": "json"}
}

func (s *session) dump(ctx context.Context) (dump, error) {
	ctx, cancel := s.bounded(ctx, s.command)
	defer cancel()

	return s.dumps.get(ctx, func(ctx context.Context) (dump, error) {
		reply, err := s.do(ctx, ask("config dump"))
		if err != nil {
			return nil, err
		}

		return parseDump(reply.Out)
	})
}

// option returns what the monitors say of an option. An error is about the monitors.
func (s *session) option(ctx context.Context, name string) (option, error) {
	if known, found := s.known(name); found {
		return known, nil
	}

	s.mu.Lock()

	asked := s.helps[name]
	if asked == nil {
		asked = &share[option]{clock: s.clock}
		s.helps[name] = asked
	}

	s.mu.Unlock()

	ctx, cancel := s.bounded(ctx, s.command)
	defer cancel()

	return asked.get(ctx, func(ctx context.Context) (option, error) {
		// Those who came while it was asked for find it here.
		if known, found := s.known(name); found {
			return known, nil
		}

		return s.learn(ctx, name)
	})
}

// known returns what was learnt of an option, unless it is too old.
func (s *session) known(name string) (option, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	have, found := s.schemas[name]

	return have.option, found && s.clock.Since(have.at) < schemaAge
}

// learn asks the monitors about an option.
func (s *session) learn(ctx context.Context, name string) (option, error) {
	now := s.clock.Now()
	question := ask("config help")
	question["key"] = name

	reply, err := s.do(ctx, question)

	switch {
	case errors.Is(err, syscall.ENOENT):
		// Not remembered: the options of a manager's module are known once a manager is up.
		return option{problem: &live.Problem{Cause: live.CauseUnknown, Message: unknown(name)}}, nil
	case denied(err):
		return option{problem: &live.Problem{
			Cause: live.CauseDenied, Message: `cannot be checked: the entity lacks the capability: allow command "config help"`,
		}}, nil
	case err != nil:
		return option{}, err
	}

	learnt, err := parseOption(reply.Out)
	if err != nil {
		return option{}, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.schemas[name] = known{option: learnt, at: now}

	return learnt, nil
}
