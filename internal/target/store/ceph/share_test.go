package ceph

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

func TestCallersTakePartInTheNextQuestionOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			asked   = share[int32]{clock: clock.RealClock{}}
			count   atomic.Int32
			answers = make(chan struct{})
		)

		ask := func(context.Context) (int32, error) {
			n := count.Add(1)
			<-answers

			return n, nil
		}
		got := make(chan int32)
		call := func() {
			n, err := asked.get(t.Context(), ask)
			if err != nil {
				t.Error(err)
			}
			got <- n
		}

		go call()
		synctest.Wait()

		for range 200 {
			go call()
		}

		synctest.Wait()

		answers <- struct{}{}

		if n := <-got; n != 1 {
			t.Errorf("the first caller got answer %d, want 1", n)
		}

		answers <- struct{}{}

		for range 200 {
			if n := <-got; n != 2 {
				t.Errorf("one that came while it was asked got answer %d, want 2", n)
			}
		}

		if n := count.Load(); n != 2 {
			t.Errorf("asked %d times, want 2", n)
		}
	})
}

func TestACallerMayLeaveAndTheOthersGetTheirAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := share[int]{clock: clock.RealClock{}}

		answer := make(chan struct{})
		ask := func(ctx context.Context) (int, error) {
			<-answer

			return 7, ctx.Err()
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		left, stayed := make(chan error), make(chan int)

		go func() {
			_, err := asked.get(ctx, ask)
			left <- err
		}()
		synctest.Wait()

		go func() {
			n, _ := asked.get(t.Context(), ask)
			stayed <- n
		}()
		synctest.Wait()
		cancel(cause)

		if err := <-left; !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause", err)
		}

		answer <- struct{}{}
		answer <- struct{}{}

		if n := <-stayed; n != 7 {
			t.Errorf("got %d, want 7", n)
		}
	})
}

func TestBetweenTwoQuestionsOfACrowdThereIsTimeForWrites(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		takes, crowd, alone time.Duration
	}{
		"in proportion to what an answer takes": {2 * time.Millisecond, 2*time.Millisecond + 12*time.Millisecond + 2*time.Millisecond, 2 * time.Millisecond},
		"and not for long":                      {time.Second, 2*time.Second + longestRest, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := share[int]{clock: clock.RealClock{}}
			call := func() {
				_, _ = asked.get(t.Context(), func(context.Context) (int, error) {
					asked.clock.Sleep(tc.takes)

					return 0, nil
				})
			}

			begun := time.Now()
			call()
			call()

			if took := time.Since(begun); took != 2*tc.alone {
				t.Errorf("%s: one after the other took %v, want %v", name, took, 2*tc.alone)
			}

			begun = time.Now()

			go call()
			synctest.Wait()
			call()

			if took := time.Since(begun); took != tc.crowd {
				t.Errorf("%s: two at once took %v, want %v", name, took, tc.crowd)
			}
		})
	}
}
