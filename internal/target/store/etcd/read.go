package etcd

import (
	"context"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// batch is how many keys are read at once: some fewer than a transaction may have by default.
const batch = 100

// entry is what etcd has at a key. The zero entry is that there is none.
type entry struct {
	value live.Value
	// revision of the whole store at which the key was written last; 0 when there is none.
	revision int64
	denied   bool
}

// Read reads all keys as of one revision of the store.
func (s *session) Read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	keys := make([]string, 0, len(settings))
	for _, setting := range settings {
		if key, problem := keyOf(setting); problem == nil {
			keys = append(keys, key)
		}
	}
	found, err := s.look(ctx, keys)
	if err != nil {
		return nil, err
	}
	states := make([]live.State, len(settings))
	for i, setting := range settings {
		states[i] = s.state(setting, found.entries)
	}

	return states, nil
}

// state is what there is to say of one setting.
func (s *session) state(setting live.Setting, entries map[string]entry) live.State {
	key, problem := keyOf(setting)
	if problem != nil {
		return live.State{Setting: setting, Problem: problem}
	}
	e := entries[key]
	if e.denied {
		return live.State{Setting: setting, Problem: &live.Problem{
			Cause:   live.CauseDenied,
			Message: "may not be read by this user: a role of his needs the permission readwrite on the key",
		}}
	}

	return live.State{Setting: setting, Stored: e.value, Running: e.value, Rule: ruleOf(key, s.target.Username)}
}

// view is what the keys were at one revision.
type view struct {
	entries  map[string]entry
	revision int64 // 0 when nothing could be read
	options  []clientv3.OpOption
}

// look reads keys, each once, in as few requests as it takes. The later ones ask for the revision that the first saw.
func (s *session) look(ctx context.Context, keys []string, options ...clientv3.OpOption) (*view, error) {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	v := &view{entries: map[string]entry{}, options: options}
	for some := range slices.Chunk(slices.Compact(keys), batch) {
		if err := s.get(ctx, v, some); err != nil {
			return nil, err
		}
	}

	return v, nil
}

// get reads some keys in one request. A key that may not be read fails all of them: then each half is read for itself.
func (s *session) get(ctx context.Context, v *view, keys []string) error {
	options := v.options
	if v.revision > 0 {
		options = append(slices.Clone(options), clientv3.WithRev(v.revision))
	}
	ops := make([]clientv3.Op, len(keys))
	for i, key := range keys {
		ops[i] = clientv3.OpGet(key, options...)
	}
	command, cancel := s.command(ctx)
	defer cancel()
	response, err := s.client.Txn(command).Then(ops...).Commit()
	switch {
	case isDenied(err) && len(keys) == 1:
		v.entries[keys[0]] = entry{denied: true}

		return nil
	case isDenied(err):
		if err := s.get(ctx, v, keys[:len(keys)/2]); err != nil {
			return err
		}

		return s.get(ctx, v, keys[len(keys)/2:])
	case err != nil:
		return s.failed(command, "read from", err)
	}
	v.add(response)

	return nil
}

// add takes over what a request has returned.
func (v *view) add(response *clientv3.TxnResponse) {
	if v.revision == 0 {
		v.revision = response.Header.GetRevision()
	}
	for _, one := range response.Responses {
		for _, kv := range one.GetResponseRange().GetKvs() {
			v.entries[string(kv.GetKey())] = entry{value: live.Text(string(kv.GetValue())), revision: kv.GetModRevision()}
		}
	}
}
