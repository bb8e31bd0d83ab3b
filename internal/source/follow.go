package source

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// follow lists and watches into the store until the context ends. Errors are retried with a back-off of up to ten
// seconds.
func follow(
	ctx context.Context, from cache.ListerWatcher, object runtime.Object, kind string, to cache.TransformingStore, log logr.Logger,
) {
	reflector := cache.NewReflectorWithOptions(from, object, to, cache.ReflectorOptions{
		Name:            "lockstep",
		TypeDescription: kind,
		Logger:          &log,
		Backoff:         &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 10 * time.Second},
		Clock:           endingClock{done: ctx.Done()},
	})
	reflector.RunWithContext(ctx)
}

// endingClock lets nobody wait any more once the context has ended: a reflector in its back-off waits for this
// channel alone, and whoever stops it waits for the reflector.
type endingClock struct {
	clock.RealClock

	done <-chan struct{}
}

// After returns a channel that gets the time, or is closed when the context ends before.
func (c endingClock) After(d time.Duration) <-chan time.Time {
	over := make(chan time.Time, 1)
	timer := c.NewTimer(d)

	go func() {
		defer timer.Stop()

		select {
		case now := <-timer.C():
			over <- now
		case <-c.done:
			close(over)
		}
	}()

	return over
}
