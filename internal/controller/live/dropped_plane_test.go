package live_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// dropper is an address at which every connection is reset after its first byte.
func (w *world) dropper() string {
	w.Helper()

	var config net.ListenConfig

	listener, err := config.Listen(w.Context(), "tcp", "127.0.0.1:0")
	w.must(err)

	var running sync.WaitGroup

	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // it was closed
			}

			running.Go(func() { drop(conn) })
		}
	})
	w.Cleanup(func() {
		_ = listener.Close()

		running.Wait()
	})

	return listener.Addr().String()
}

func drop(conn net.Conn) {
	if tcp, is := conn.(*net.TCPConn); is {
		_ = tcp.SetLinger(0)
	}

	_, _ = conn.Read(make([]byte, 1))
	_ = conn.Close()
}

// Libraries say both ends of a connection that failed, and ours is another one each time.
func TestAStoreThatDropsEveryConnectionIsNoNewsEachTime(t *testing.T) {
	t.Parallel()

	for _, kind := range []lockstepv1alpha1.StoreType{lockstepv1alpha1.StorePostgreSQL, lockstepv1alpha1.StoreRedis} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			w.secret("login", map[string]string{"username": "a", "password": "b"})

			l := liveStore("dropped", kind, w.dropper())
			l.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: "login"}
			w.create(l)

			const enough = 3

			tries := make(chan struct{}, enough)
			r := w.start(func(p *parts) {
				for i, d := range p.drivers {
					p.drivers[i].Open = func(ctx context.Context, target store.Target) (store.Session, error) {
						select {
						case tries <- struct{}{}:
						default:
						}

						return d.Open(ctx, target)
					}
				}
			})

			w.store("dropped", "to be unreachable", "False/Unreachable")

			for range enough {
				<-tries
			}

			r.stop()

			told := 0

			for _, q := range r.requests.Seen() {
				if strings.HasPrefix(q, "PATCH ") && strings.Contains(q, "/livestores/dropped/status") {
					told++
				}
			}

			if told != 1 {
				t.Errorf("the status was written %d times for one and the same trouble", told)
			}
		})
	}
}
