package ceph

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// process is one that is connected to a monitor.
type process struct {
	// entity is its name for the monitors, such as "client.rgw.a".
	entity string
	// nonce is another one for each start of a process.
	nonce uint64
}

// rebinding is what Ceph adds to the nonce of a daemon that takes another address and lives on.
const rebinding = 1_000_000

func (p process) String() string { return fmt.Sprintf("%s/%d", p.entity, p.nonce%rebinding) }

// parseSessions reads the answer to `sessions`.
func parseSessions(out []byte) ([]process, error) {
	var answer []struct {
		Entity string `json:"entity_name"`
		Addrs  struct {
			Vector []struct {
				Nonce uint64 `json:"nonce"`
			} `json:"addrvec"`
		} `json:"addrs"`
	}

	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("read the answer to sessions: %w", withoutText(err))
	}

	var all []process

	for _, session := range answer {
		if session.Entity != "" && len(session.Addrs.Vector) > 0 {
			all = append(all, process{session.Entity, session.Addrs.Vector[0].Nonce})
		}
	}

	return all, nil
}

// starts says whether an entity reads what is set for the target when it starts. Whom a mask selects only the CRUSH map
// knows, and what a monitor uses it tells itself.
func (t target) starts(entity string) bool {
	return entity == t.section || strings.HasPrefix(entity, t.section+".")
}

// Running implements [store.Witness]: who is connected to a monitor under a name that the setting is for. Nobody can tell
// it of a setting that is global or has a mask.
func (s *session) Running(ctx context.Context, settings []live.Setting) ([][]string, error) {
	if s.noSessions.Load() {
		return nil, errNoSessions
	}

	all, err := s.processes.get(ctx, s.askSessions)

	switch {
	case denied(err):
		s.noSessions.Store(true)

		return nil, errNoSessions
	case err != nil:
		return nil, err
	}

	running := make([][]string, len(settings))

	for i, setting := range settings {
		if t, err := parseSetting(Normalise(setting)); err == nil && t.mask == "" && t.section != global {
			running[i] = s.among(all, t)
		}
	}

	return running, nil
}

var errNoSessions = fmt.Errorf(`%w: the entity lacks the capabilities: allow command "mon dump", allow command "sessions"`, store.ErrNoProbe)

// among returns the names of the processes that the target is for, without our own.
func (s *session) among(all []process, t target) []string {
	names := []string{}

	for _, p := range all {
		if p.entity != s.entity && t.starts(p.entity) {
			names = append(names, p.String())
		}
	}

	slices.Sort(names)

	return slices.Compact(names)
}

// askSessions asks every monitor of the quorum: each knows its own sessions alone, so that without one of them nobody
// knows who runs.
func (s *session) askSessions(ctx context.Context) ([]process, error) {
	ctx, cancel := s.bounded(ctx, min(s.command, 2*tellTimeout))
	defer cancel()

	reply, err := s.cluster.Do(ctx, ask("mon dump"))
	if err != nil {
		return nil, err
	}

	monitors, err := parseQuorum(reply.Out)
	if err != nil {
		return nil, err
	}

	found := make([][]process, len(monitors))

	var group errgroup.Group

	for i, monitor := range monitors {
		group.Go(func() error {
			reply, err := s.cluster.Tell(ctx, monitor, ask("sessions"))
			if err == nil {
				found[i], err = parseSessions(reply.Out)
			}

			return err
		})
	}

	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("ask the monitors who is connected: %w", err)
	}

	return slices.Concat(found...), nil
}
