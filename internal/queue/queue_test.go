package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/lockstep-dev/lockstep/internal/queue"
)

var errExpected = errors.New("not yet")

func TestWhatFailsComesAgain(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		fail   func() error
		logged string
	}{
		"an error is told":             {fail: func() error { return errors.New("no way") }, logged: "no way"},
		"a panic is an error":          {fail: func() error { panic("out of thin air") }, logged: "panic: out of thin air"},
		"what is expected is not told": {fail: func() error { return errors.Join(errExpected) }},
		"a conflict is not told": {
			fail: func() error { return apierrors.NewConflict(schema.GroupResource{}, "x", errors.New("newer")) },
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var told strings.Builder

			q := queue.New[string]("any", clock.RealClock{}, time.Nanosecond, time.Nanosecond)
			passes := 0
			w := queue.Worker[string]{
				Queue: q, Log: funcr.New(func(_, args string) { told.WriteString(args) }, funcr.Options{}),
				Expected: func(err error) bool { return errors.Is(err, errExpected) },
				Pass: func(context.Context, string) (time.Duration, error) {
					if passes++; passes == 3 {
						q.ShutDown()

						return 0, nil
					}

					return 0, c.fail()
				},
			}

			q.Add("x")
			w.Run(t.Context())

			if passes != 3 || q.NumRequeues("x") != 0 {
				t.Errorf("it was passed %d times, want 3, and %d failures are remembered, want 0", passes, q.NumRequeues("x"))
			}

			if got := told.String(); (c.logged == "") != (got == "") || !strings.Contains(got, c.logged) {
				t.Errorf("logged is %q, want %q in it", got, c.logged)
			}
		})
	}
}

// noted tells when something has been put off.
type noted struct {
	workqueue.TypedRateLimitingInterface[string]

	putOff chan struct{}
}

func (n noted) AddAfter(item string, after time.Duration) {
	n.TypedRateLimitingInterface.AddAfter(item, after)
	n.putOff <- struct{}{}
}

func TestWhatWaitsForATimeComesThen(t *testing.T) {
	t.Parallel()

	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	q := noted{
		TypedRateLimitingInterface: queue.New[string]("any", fake, time.Second, time.Second), putOff: make(chan struct{}),
	}
	passed := make(chan time.Time)
	w := queue.Worker[string]{
		Queue: q, Log: logr.Discard(),
		Pass: func(context.Context, string) (time.Duration, error) {
			passed <- fake.Now()

			return time.Hour, nil
		},
	}
	ended := make(chan struct{})

	go func() {
		defer close(ended)

		w.Run(t.Context())
	}()

	q.Add("x")

	for _, want := range []time.Time{time.Unix(0, 0), time.Unix(3600, 0), time.Unix(7200, 0)} {
		if got := <-passed; !got.Equal(want) {
			t.Errorf("it was passed at %s, want %s", got, want)
		}

		<-q.putOff
		fake.Step(time.Hour)
	}

	<-passed
	<-q.putOff
	q.ShutDown()
	<-ended
}

func TestNothingIsTriedAgainOnceTheContextHasEnded(t *testing.T) {
	t.Parallel()

	ctx, stop := context.WithCancel(t.Context())
	q := queue.New[string]("any", clock.RealClock{}, time.Nanosecond, time.Nanosecond)
	passes := 0
	w := queue.Worker[string]{
		Queue: q, Log: logr.Discard(),
		Pass: func(ctx context.Context, item string) (time.Duration, error) {
			passes++

			if item == "last" {
				q.ShutDown()
			}

			stop()

			return time.Nanosecond, ctx.Err()
		},
	}

	q.Add("first")
	q.Add("last")
	w.Run(ctx)

	if passes != 2 || q.NumRequeues("first") != 0 {
		t.Errorf("there were %d passes, want 2, and %d failures counted, want 0", passes, q.NumRequeues("first"))
	}
}
