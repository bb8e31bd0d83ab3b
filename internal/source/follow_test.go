package source

import (
	"testing"
	"time"
)

func TestNobodyWaitsBeyondTheEnd(t *testing.T) {
	t.Parallel()

	done := make(chan struct{})
	ending := endingClock{done: done}

	if now, ok := <-ending.After(time.Millisecond); !ok || now.IsZero() {
		t.Errorf("a wait that is over gives %v, %t", now, ok)
	}

	over := ending.After(time.Hour)

	close(done)

	select {
	case _, ok := <-over:
		if ok {
			t.Error("an hour has passed")
		}
	case <-time.After(patience):
		t.Error("somebody still waits")
	}
}
