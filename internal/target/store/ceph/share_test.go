package ceph

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestCallersTakePartInTheNextQuestionOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			asked   share[int32]
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
		var asked share[int]

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
