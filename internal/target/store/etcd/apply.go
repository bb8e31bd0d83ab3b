package etcd

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// ErrChanged is matched when somebody else has written one of the keys at the same moment: nothing of the change was written.
var ErrChanged = errors.New("one of the keys was written by somebody else at the same moment, and nothing of the change was written")

// write is one key of a transaction.
type write struct {
	setting live.Setting
	key     string
	to      live.Value
}

// Check asks the server for a transaction that never happens.
func (s *session) Check(ctx context.Context, changes []live.Change) error {
	writes, err := writesOf(changes, s.target.Username)
	if err != nil || len(writes) == 0 {
		return err
	}
	command, cancel := s.command(ctx)
	defer cancel()

	return s.refused(ctx, command, "check a change of", writes, s.try(command, writes))
}

// Apply makes the changes in one transaction.
func (s *session) Apply(ctx context.Context, changes []live.Change) error {
	writes, err := writesOf(changes, s.target.Username)
	if err != nil || len(writes) == 0 {
		return err
	}
	keys := make([]string, len(writes))
	for i, w := range writes {
		keys[i] = w.key
	}
	before, err := s.look(ctx, keys, clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	conditions, ops := make([]clientv3.Cmp, len(writes)), make([]clientv3.Op, len(writes))
	for i, w := range writes {
		conditions[i] = clientv3.Compare(clientv3.ModRevision(w.key), "=", before.entries[w.key].revision)
		ops[i] = w.op(w.to.Text)
	}
	command, cancel := s.command(ctx)
	defer cancel()
	response, err := s.client.Txn(command).If(conditions...).Then(ops...).Commit()
	if err != nil {
		return s.refused(ctx, command, "write to", writes, err)
	}
	if !response.Succeeded {
		return fmt.Errorf("%s: %w", s.at("write to"), ErrChanged)
	}

	return nil
}

// try asks the server for a transaction of the writes that never happens, since no revision is below 0. It sends no value: even
// what does not happen is in the server's log on disk.
func (s *session) try(command context.Context, writes []write) error {
	conditions, ops := make([]clientv3.Cmp, len(writes)), make([]clientv3.Op, len(writes))
	for i, w := range writes {
		conditions[i] = clientv3.Compare(clientv3.ModRevision(w.key), "<", 0)
		ops[i] = w.op("")
	}
	_, err := s.client.Txn(command).If(conditions...).Then(ops...).Commit()

	return err //nolint:wrapcheck // the caller does
}

// refused tells what the server refuses from other failures. command is the context of the call that ended with err.
func (s *session) refused(ctx, command context.Context, what string, writes []write, err error) error {
	switch {
	case err == nil:
		return nil
	case isDenied(err):
		return s.denied(ctx, writes)
	case refusal(err) != "":
		return &store.RefusedError{Reason: refusal(err)}
	default:
		return s.failed(command, what, err)
	}
}

// denied finds by halves one of the writes that this user may not make.
func (s *session) denied(ctx context.Context, writes []write) error {
	for len(writes) > 1 {
		half := writes[:len(writes)/2]
		command, cancel := s.command(ctx)
		err := s.try(command, half)
		if err != nil && !isDenied(err) {
			err = s.failed(command, "find the key that may not be written in", err)
			cancel()

			return err
		}
		cancel()
		if err == nil {
			half = writes[len(writes)/2:]
		}
		writes = half
	}

	return &store.RefusedError{
		Setting: writes[0].setting,
		Reason:  "this user may not write the key: a role of his needs the permission readwrite on it",
	}
}

// writesOf returns the writes of a change, or why it cannot be one transaction. A key that is to get one value twice is
// written once.
func writesOf(changes []live.Change, user string) ([]write, error) {
	var writes []write
	seen := make(map[string]write, len(changes))
	total := header + len(user)
	for _, change := range changes {
		key, problem := keyOf(change.Setting)
		if problem != nil {
			return nil, &store.RefusedError{Setting: change.Setting, Reason: problem.Message}
		}
		if err := ruleOf(key, user).Check(change.To.Text); err != nil {
			return nil, &store.RefusedError{Setting: change.Setting, Reason: err.Error()}
		}
		w := write{setting: change.Setting, key: key, to: change.To}
		if other, ok := seen[key]; ok {
			if other.to != w.to {
				return nil, &store.RefusedError{Setting: w.setting, Reason: "the key is to get two values in one change"}
			}

			continue
		}
		seen[key], writes = w, append(writes, w)
		total += bytesOf(key, w.to.Text)
	}
	if total > requestLimit {
		return nil, &store.RefusedError{Reason: fmt.Sprintf(
			"the change has %d bytes, and etcd takes 1.5 MiB in one transaction; divide it between several LiveConfigs", total,
		)}
	}

	return writes, nil
}

// op is the operation of a write with a value in the place of its own.
func (w write) op(value string) clientv3.Op {
	if !w.to.Set {
		return clientv3.OpDelete(w.key)
	}

	return clientv3.OpPut(w.key, value)
}
