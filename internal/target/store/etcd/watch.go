package etcd

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// note is what one of the watches of a call has to tell.
type note struct {
	key string
	// made: the server has taken the watch. Otherwise the key was changed, unless err is why the watch has ended.
	made bool
	err  error
}

// Watch watches each key for itself, by one stream. What this user may not read is left out.
func (s *session) Watch(ctx context.Context, settings []live.Setting, ready func(), changed func(live.Setting)) error {
	of := map[string][]live.Setting{}
	for _, setting := range settings {
		if key, problem := keyOf(setting); problem == nil {
			of[key] = append(of[key], setting)
		}
	}
	calling := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer s.endWith(cancel)()
	defer cancel()
	err := s.watch(ctx, of, ready, changed)
	if calling.Err() != nil {
		return nil // whatever broke, the caller has ended it
	}

	return err
}

func (s *session) watch(ctx context.Context, of map[string][]live.Setting, ready func(), changed func(live.Setting)) error {
	start, err := s.look(ctx, slices.Collect(maps.Keys(of)), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	maps.DeleteFunc(of, func(key string, _ []live.Setting) bool { return start.entries[key].denied })
	notes, stop := s.follow(ctx, slices.Collect(maps.Keys(of)), start.revision+1)
	defer stop()
	early, err := s.await(ctx, notes, len(of))
	if err != nil {
		return err
	}
	ready()
	tell := func(key string) {
		for _, setting := range of[key] {
			changed(setting)
		}
	}
	for _, key := range early {
		tell(key)
	}
	for {
		select {
		case <-ctx.Done():
			return s.failed(ctx, "watch", ctx.Err())
		case n := <-notes:
			if n.err != nil {
				return s.failed(ctx, "watch", n.err)
			}
			tell(n.key)
		}
	}
}

// follow starts a watch of each key from a revision on. They have a stream of their own, which logs in anew: that of others may have a
// token that has run out. All of them have ended when stop returns.
func (s *session) follow(ctx context.Context, keys []string, from int64) (notes <-chan note, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	watcher := clientv3.NewWatcher(s.client)
	merged := make(chan note)
	var all sync.WaitGroup
	for _, key := range keys {
		all.Go(func() { forward(ctx, watcher, key, from, merged) })
	}

	return merged, func() {
		cancel()
		_ = watcher.Close() // it has ended with its context already
		all.Wait()
	}
}

// forward passes on what the watch of one key has to tell, until ctx ends or after an error.
func forward(ctx context.Context, watcher clientv3.Watcher, key string, from int64, notes chan<- note) {
	send := func(n note) {
		select {
		case notes <- n:
		case <-ctx.Done():
		}
	}
	// A member that has lost its cluster has nothing to tell for ever, and would not say so.
	for response := range watcher.Watch(
		clientv3.WithRequireLeader(ctx), key, clientv3.WithRev(from), clientv3.WithCreatedNotify(),
	) {
		if err := brokenBy(&response); err != nil {
			send(note{key: key, err: err})

			return
		}
		if response.Created {
			send(note{key: key, made: true})
		}
		if len(response.Events) > 0 {
			send(note{key: key})
		}
	}
	send(note{key: key, err: endedError("")})
}

// await waits until the server has taken all watches, and returns which keys were changed meanwhile. It waits no longer than for
// the answer to a command.
func (s *session) await(ctx context.Context, notes <-chan note, count int) (early []string, err error) {
	command, cancel := s.command(ctx)
	defer cancel()
	for made := 0; made < count; {
		select {
		case <-command.Done():
			return nil, s.failed(command, "begin to watch", command.Err())
		case n := <-notes:
			switch {
			case n.err != nil:
				return nil, s.failed(command, "begin to watch", n.err)
			case n.made:
				made++
			default:
				early = append(early, n.key)
			}
		}
	}

	return early, nil
}

// brokenBy is why the server or the library has ended a watch; nil when it goes on. The server's reason is a text, unless it is that of
// the whole stream.
func brokenBy(response *clientv3.WatchResponse) error {
	err := response.Err()
	if err == nil {
		return nil
	}
	if response.CancelReason != "" {
		return endedError(response.CancelReason)
	}
	_, known := errors.AsType[rpctypes.EtcdError](err)
	if _, answered := status.FromError(err); !known && !answered {
		return endedError(err.Error())
	}

	return err //nolint:wrapcheck // the caller does
}
