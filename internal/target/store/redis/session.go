package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// connections is how many a session has at most. All but one are for calls at the same time.
const connections = 3

// Driver is the driver of Redis and Valkey. It silences the client library, for the whole process: that writes what it
// also returns as errors to the standard error.
func Driver() store.Driver {
	logging.Disable()

	return store.Driver{Type: lockstepv1alpha1.StoreRedis, Open: open, Normalise: Normalise}
}

// session is a small pool of connections to one server. Connections that broke are replaced when they are needed.
type session struct {
	target store.Target
	client *goredis.Client
	forms  map[string]form
	// key makes marks of the values that say nothing about them to who does not have it.
	key []byte
	// closed ends when the session does.
	closed context.Context //nolint:containedctx // it is the session's life, which calls under way must end with
	end    context.CancelFunc

	mu     sync.Mutex
	server server
	// settable says of parameters, by their normalised names, what the server said to the question whether they can be set:
	// nothing, or one of the texts above. It holds as long as the server runs.
	settable map[string]string
	// keeps are the commands by which the server could keep what was set.
	keeps map[string]bool
	// mute are the questions of the probe that this user may not ask.
	mute map[string]bool
}

var (
	_ store.Session       = (*session)(nil)
	_ store.Checker       = (*session)(nil)
	_ store.Prober        = (*session)(nil)
	_ store.Authenticator = (*session)(nil)
	_ store.Retirer       = (*session)(nil)
)

func open(ctx context.Context, t store.Target) (store.Session, error) {
	if len(t.Endpoints) != 1 {
		return nil, fmt.Errorf("a session with Redis is with one endpoint, not with %d", len(t.Endpoints))
	}
	s := &session{target: t, forms: known(), key: make([]byte, 32), settable: map[string]string{}, keeps: map[string]bool{}, mute: map[string]bool{}}
	_, _ = rand.Read(s.key) // it never fails
	options, err := s.options(t.Username, t.Password)
	if err != nil {
		return nil, err
	}
	options.OnConnect = s.greet
	s.closed, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.client = goredis.NewClient(options)
	ctx, cancel := context.WithTimeout(ctx, t.Connect)
	defer cancel()
	// Any command connects and greets; this one needs no rights.
	hello := command(ctx, "HELLO", "2")
	err = s.exchange(ctx, []*goredis.Cmd{hello})
	if err == nil && hello.Err() != nil {
		err = s.trouble("log in", hello.Err())
	}
	if err != nil {
		s.Close()

		return nil, err
	}
	if s.serverNow().sentinel {
		s.Close()

		return nil, fmt.Errorf("%s is a Sentinel, which has other commands; give the servers that it watches", s.endpoint())
	}

	return s, nil
}

// options let the library do nothing that is not asked of it: no second try, no telling who we are, no asking for
// announcements.
func (s *session) options(username, password string) (*goredis.Options, error) {
	t := s.target
	host, _, err := net.SplitHostPort(s.endpoint())
	if err != nil {
		return nil, fmt.Errorf("the endpoint %q is not host:port", s.endpoint())
	}
	database := 0
	if t.Database != "" {
		if database, err = strconv.Atoi(t.Database); err != nil || database < 0 {
			return nil, fmt.Errorf("the database %q of Redis is not a number", t.Database)
		}
	}
	config := t.TLS
	if config != nil && config.ServerName == "" && !config.InsecureSkipVerify {
		config = config.Clone()
		config.ServerName = host
	}

	return &goredis.Options{
		Addr: s.endpoint(), TLSConfig: config, DB: database, Username: username, Password: password,
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		MaxRetries:               -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: t.Connect, ReadTimeout: t.Command, WriteTimeout: t.Command, PoolTimeout: t.Command,
		PoolSize: connections, MaxActiveConns: connections, PipelinePoolSize: -1,
	}, nil
}

// greet learns with every new connection which server is at its other end: it may have been started again as another one.
func (s *session) greet(ctx context.Context, c *goredis.Conn) error {
	reply, err := c.Do(ctx, "HELLO", "2").Slice()
	if err != nil {
		return err //nolint:wrapcheck // trouble says what it is
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = readHello(reply)
	clear(s.settable)
	clear(s.mute)

	return nil
}

func (s *session) endpoint() string { return s.target.Endpoints[0] }

func (s *session) serverNow() server {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.server
}

// Version implements [store.Session].
func (s *session) Version() string { return s.serverNow().String() }

// Close implements [store.Session].
func (s *session) Close() {
	s.end()
	_ = s.client.Close() // its connections are of no use any more
}

// within is the context of one command, or of several that are sent together.
func (s *session) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, s.target.Command)
	stop := context.AfterFunc(s.closed, cancel)

	return ctx, func() {
		stop()
		cancel()
	}
}

// send sends commands together and returns when all are answered, each with an answer or an error of its own.
func (s *session) send(ctx context.Context, commands ...*goredis.Cmd) error {
	if len(commands) == 0 {
		return nil
	}
	ctx, cancel := s.within(ctx)
	defer cancel()

	return s.exchange(ctx, commands)
}

// exchange ends with its context at once. The library would only look at the context's deadline.
func (s *session) exchange(ctx context.Context, commands []*goredis.Cmd) error {
	pipe := s.client.Pipeline()
	for _, c := range commands {
		_ = pipe.Process(ctx, c) // it is only put in line
	}
	done := make(chan error, 1)
	go func() {
		_, err := pipe.Exec(ctx)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil && !answered(commands) {
			return s.trouble("ask", err)
		}

		return nil
	case <-ctx.Done():
		return s.trouble("ask", ctx.Err())
	}
}

// answered says whether the server has answered all commands, each in its own way. An answer to what comes before the first
// on a new connection, the login, is none of theirs.
func answered(commands []*goredis.Cmd) bool {
	for _, c := range commands {
		_, no := failed(c.Err())
		if !no && !isNil(c.Err()) && (c.Err() != nil || c.Val() == nil) {
			return false
		}
	}

	return true
}

// command is a command for send: its name and its arguments.
func command(ctx context.Context, name string, arguments ...string) *goredis.Cmd {
	var words []any
	for word := range strings.FieldsSeq(name) {
		words = append(words, word)
	}
	for _, argument := range arguments {
		words = append(words, argument)
	}

	return goredis.NewCmd(ctx, words...)
}

// trouble is what keeps us from asking the server, or what it answers to everything.
func (s *session) trouble(doing string, err error) error {
	if f, answered := failed(err); answered {
		return s.unwilling(doing, f)
	}

	return fmt.Errorf("%s: %s: %w", s.endpoint(), doing, err)
}

// unwilling is an answer that is about the server as a whole.
func (s *session) unwilling(doing string, f failure) error {
	switch {
	case f.login():
		return fmt.Errorf("%s: %w (%s)", s.endpoint(), store.ErrLogin, f.code)
	case f.passing() != "":
		return fmt.Errorf("%s: the server cannot %s now: %s (%s)", s.endpoint(), doing, f.passing(), f.code)
	default:
		return fmt.Errorf("%s: %s: the server answers %s", s.endpoint(), doing, f.code)
	}
}

// refusal is the answer to a command that changes something: that the server will not, or cannot now.
func (s *session) refusal(doing string, f failure) error {
	switch {
	case f.code == denied:
		return &store.RefusedError{Reason: s.lacks(doing)}
	case f.login() || f.passing() != "":
		return s.unwilling(doing, f)
	default:
		return &store.RefusedError{Reason: fmt.Sprintf("to %s it answers %s", doing, f.code)}
	}
}

// lacks says that our user has no right to a command, and what gives it.
func (s *session) lacks(command string) string {
	user := s.target.Username
	if user == "" {
		user = defaultUser
	}
	right := "+" + strings.ToLower(strings.ReplaceAll(command, " ", "|"))

	return fmt.Sprintf("the user %s has no right to %s, which ACL SETUSER %s %s gives", user, command, user, right)
}

const (
	// defaultUser is who logs in without a name.
	defaultUser = "default"
	// denied is the code of the answer to who has no right.
	denied = "NOPERM"
)

// The commands, as they are called in answers and as rights.
const (
	configGet     = "CONFIG GET"
	configSet     = "CONFIG SET"
	configRewrite = "CONFIG REWRITE"
	aclGetUser    = "ACL GETUSER"
	aclSetUser    = "ACL SETUSER"
	aclList       = "ACL LIST"
	aclSave       = "ACL SAVE"
	info          = "INFO"
)
