package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// Options are what every receiver needs. All are required.
type Options struct {
	// HTTP sends the requests. It is copied where a receiver needs other settings.
	HTTP *http.Client
	// Clock times the tries and the drain.
	Clock clock.WithDelayedExecution
	Log   logr.Logger
	// Metrics counts what never arrived.
	Metrics Metrics
}

// Metrics counts notifications that never reached their receiver.
type Metrics interface {
	Dropped(sink string)
}

const (
	// queueLength bounds the memory that a receiver which does not answer costs.
	queueLength = 256
	// requestTimeout bounds one try.
	requestTimeout = 10 * time.Second
	// drainTime bounds the work that is still done after the signal to stop.
	drainTime = 5 * time.Second
)

// message is one body to post.
type message struct {
	contentType string
	body        []byte
}

// sender posts messages to one receiver, one after the other in their order.
type sender struct {
	Options

	sink    string
	url     string
	timeout time.Duration
	queue   chan message
	// tries are how often a message is sent at most, with a pause that doubles from firstPause.
	tries      int
	firstPause time.Duration
	// refuses tells whether a status means that the receiver did not take the message.
	refuses func(status int) bool
	// full is set by the first message that finds no room, and cleared when the queue is empty again.
	full atomic.Bool
}

// newSender fails when the address cannot be used; the error does not tell the address.
func newSender(o Options, sink, address string) (*sender, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%s: its address is not an absolute URL", sink)
	}

	o.Log = o.Log.WithValues("sink", sink, "host", u.Host)

	return &sender{
		Options: o,
		sink:    sink,
		url:     address,
		timeout: requestTimeout,
		queue:   make(chan message, queueLength),
		tries:   1,
		refuses: func(status int) bool { return status >= http.StatusBadRequest },
	}, nil
}

// offer queues the message, or drops it when there is no room.
func (s *sender) offer(m message) {
	select {
	case s.queue <- m:
	default:
		s.Metrics.Dropped(s.sink)

		if s.full.CompareAndSwap(false, true) {
			s.Log.Info("the receiver is too slow: notifications are dropped until it has caught up",
				"waiting", queueLength)
		}
	}
}

// Start sends until the context ends. What is queued by then is still sent, for at most five seconds. Call it once.
func (s *sender) Start(ctx context.Context) error {
	defer s.HTTP.CloseIdleConnections()

	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	defer context.AfterFunc(ctx, func() { s.Clock.AfterFunc(drainTime, stop) })()

	for working.Err() == nil {
		select {
		case m := <-s.queue:
			s.deliver(working, m)
		case <-ctx.Done():
			if len(s.queue) == 0 {
				return nil
			}
		}

		if len(s.queue) == 0 {
			s.full.Store(false)
		}
	}

	left := len(s.queue)
	for range left {
		s.Metrics.Dropped(s.sink)
	}

	s.Log.Info("stopped with notifications that were not sent", "waiting", left)

	return nil
}

// NeedLeaderElection is false: what is sent comes from who leads.
func (*sender) NeedLeaderElection() bool { return false }

func (s *sender) deliver(ctx context.Context, m message) {
	pause := s.firstPause

	for try := 1; ; try++ {
		again, err := s.post(ctx, m)
		if err == nil {
			return
		}

		if !again || try >= s.tries || !s.wait(ctx, pause) {
			s.Metrics.Dropped(s.sink)
			s.Log.Error(err, "a notification was not delivered", "tries", try)

			return
		}

		pause *= 2
	}
}

func (s *sender) wait(ctx context.Context, d time.Duration) bool {
	timer := s.Clock.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// post sends the message once. It tells whether another try may help.
func (s *sender) post(ctx context.Context, m message) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(m.body))
	if err != nil {
		return false, fmt.Errorf("make a request for %s: %w", s.sink, withoutAddress(err))
	}

	req.Header.Set("Content-Type", m.contentType)

	res, err := s.HTTP.Do(req)
	if err != nil {
		return !errors.Is(err, errRedirect), fmt.Errorf("post to %s: %w", s.sink, withoutAddress(err))
	}
	defer res.Body.Close()

	// The connection can be used again only when the answer was read.
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))

	if s.refuses(res.StatusCode) {
		return res.StatusCode >= http.StatusInternalServerError,
			fmt.Errorf("post to %s: it answered %d", s.sink, res.StatusCode)
	}

	return false, nil
}

var errRedirect = errors.New("it answered with a redirect, which is not followed")

// withoutAddress is what went wrong, without the address that net/http puts before it.
func withoutAddress(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}

	return err
}
