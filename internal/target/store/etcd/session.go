package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

const (
	// A connection is tried again soon after a server has come back: the library's own pauses grow to two minutes.
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
	// A peer that is gone without a word is noticed after this long without an answer, also by a watch, which waits for ever. A
	// server takes questions more often than every 5 seconds for an attack.
	aliveEvery = 10 * time.Second
)

// errClosed ends the calls of a session that was closed.
var errClosed = errors.New("the session with etcd was closed")

// Driver is the driver of etcd.
func Driver() store.Driver {
	return store.Driver{
		Type: lockstepv1alpha1.StoreEtcd, Together: true, Normalise: Normalise,
		Open: func(ctx context.Context, t store.Target) (store.Session, error) { return open(ctx, t) },
	}
}

// session is a client of the library, which connects to whichever endpoint answers.
type session struct {
	target  store.Target
	client  *clientv3.Client
	version string
	// closed ends when the session does.
	closed context.Context //nolint:containedctx // it is the session's life, which calls under way must end with
	end    context.CancelCauseFunc
}

var (
	_ store.Session = (*session)(nil)
	_ store.Checker = (*session)(nil)
	_ store.Watcher = (*session)(nil)
)

// open connects and logs in. The options are for tests.
func open(ctx context.Context, t store.Target, options ...grpc.DialOption) (*session, error) {
	s := &session{target: t}
	s.closed, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
	ctx, cancel := context.WithTimeoutCause(ctx, t.Connect, fmt.Errorf("not within %s", t.Connect))
	defer cancel()
	// The library takes no context to log in with. It ends with the session's.
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	err := s.connect(ctx, options)
	if err == nil && !stop() {
		err = s.failed(ctx, "connect to", context.Cause(ctx))
	}
	if err != nil {
		s.Close()

		return nil, err
	}

	return s, nil
}

// connect asks as nobody first, or as whom the certificate names: it tells at once why a server cannot be reached, which the
// library's login with a password keeps to itself until its time is over.
func (s *session) connect(ctx context.Context, options []grpc.DialOption) error {
	config := s.config(options)
	err := s.dial(ctx, config)
	if s.target.Username != "" && (err == nil || is(err, rpctypes.ErrUserEmpty)) {
		_ = s.client.Close()
		config.Username, config.Password = s.target.Username, s.target.Password
		err = s.dial(ctx, config)
	}
	if err != nil {
		return s.failed(ctx, "connect to", err)
	}

	return nil
}

// dial makes the client and asks the server for its version, which needs no permission.
func (s *session) dial(ctx context.Context, config clientv3.Config) error {
	client, err := clientv3.New(config)
	if err != nil {
		return err //nolint:wrapcheck // the caller does
	}
	s.client = client
	// By the session's own connection, to whichever endpoint answers: the library's call is to one, by another connection.
	status, err := pb.NewMaintenanceClient(client.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return err //nolint:wrapcheck // the caller does
	}
	s.version = "etcd " + status.GetVersion()

	return nil
}

func (s *session) config(options []grpc.DialOption) clientv3.Config {
	pauses := backoff.Config{BaseDelay: firstPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: longPause}

	return clientv3.Config{
		Endpoints: s.target.Endpoints,
		TLS:       s.target.TLS,
		Context:   s.closed,
		Logger:    zap.NewNop(), // what goes wrong is returned
		// The keep-alive does not disturb a session that has nothing to wait for.
		DialKeepAliveTime: aliveEvery, DialKeepAliveTimeout: s.target.Command,
		DialOptions: append([]grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: pauses, MinConnectTimeout: s.target.Connect}),
			grpc.WithNoProxy(), // a store is reached as its LiveStore says
		}, options...),
	}
}

// Version is the version of the server that answered first.
func (s *session) Version() string { return s.version }

// Close ends the session and the calls under way.
func (s *session) Close() {
	s.end(errClosed)
	if s.client != nil {
		_ = s.client.Close() // says that it was closed
	}
}

// command returns the context of one call to the server.
func (s *session) command(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.target.Command, fmt.Errorf("no answer within %s", s.target.Command))
	stop := s.endWith(cancel)

	return ctx, func() { stop(); cancel() }
}

// endWith calls cancel when the session is closed, unless what it returns was called before.
func (s *session) endWith(cancel context.CancelFunc) (stop func() bool) {
	return context.AfterFunc(s.closed, cancel)
}

// at says what is done and where.
func (s *session) at(what string) string {
	return fmt.Sprintf("%s etcd at %s", what, strings.Join(s.target.Endpoints, ", "))
}

// failed says what could not be done, at which store and why. ctx is that of the call.
func (s *session) failed(ctx context.Context, what string, err error) error {
	what = s.at(what)
	switch {
	case isLogin(err):
		return fmt.Errorf("%s: %w: %s", what, store.ErrLogin, reason(err))
	case s.closed.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(s.closed)) //nolint:contextcheck // not a call, only why it ended
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	default:
		return fmt.Errorf("%s: %s", what, reason(err))
	}
}
