package httpconfig

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"k8s.io/utils/clock"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// mostReads is how many addresses are remembered for the probe.
const mostReads = 1024

// Driver is the driver of HTTP endpoints. The clock is for the time between two questions for an effect.
func Driver(clk clock.Clock) store.Driver {
	return store.Driver{
		Type: lockstepv1alpha1.StoreHTTP,
		Open: func(ctx context.Context, t store.Target) (store.Session, error) { return open(ctx, t, clk) },
	}
}

// session is a pool of connections to one endpoint. They are made when they are needed.
type session struct {
	target    store.Target
	clock     clock.Clock
	endpoint  *url.URL
	requests  requests
	transport *http.Transport
	// key makes marks of the values that say nothing about them to who does not have it.
	key []byte
	// closed ends when the session does.
	closed context.Context //nolint:containedctx // it is the session's life, which calls under way must end with
	end    context.CancelFunc

	mu sync.Mutex
	// server is the last answer's header of this name.
	server string
	// tags are those of the settings as they were last read and not changed since.
	tags map[live.Setting]string
	// reads are the addresses that were read.
	reads map[string]*url.URL
}

var (
	_ store.Session = (*session)(nil)
	_ store.Checker = (*session)(nil)
	_ store.Prober  = (*session)(nil)
)

// request is a request that carries a value.
type request struct {
	lockstepv1alpha1.HTTPRequest

	place place
}

// requests are what the LiveStore says, read.
type requests struct {
	read   *place
	check  *request
	apply  request
	effect *effect
}

func readRequests(h *lockstepv1alpha1.HTTPStore) (requests, error) {
	if h == nil {
		return requests{}, errors.New("the LiveStore does not say which requests to make")
	}
	var r requests
	var err error
	if r.apply, err = readRequest(h.Apply); err != nil {
		return requests{}, err
	}
	if h.Check != nil {
		check, err := readRequest(*h.Check)
		if err != nil {
			return requests{}, err
		}
		r.check = &check
	}
	if h.Read != nil {
		read, err := readPlace(h.Read.Path)
		if err != nil {
			return requests{}, err
		}
		r.read = &read
	}
	if h.Effect != nil {
		if r.effect, err = readEffect(*h.Effect); err != nil {
			return requests{}, err
		}
	}

	return r, nil
}

func readRequest(r lockstepv1alpha1.HTTPRequest) (request, error) {
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	p, err := readPlace(r.Path)

	return request{r, p}, err
}

func open(ctx context.Context, t store.Target, clk clock.Clock) (store.Session, error) {
	if len(t.Endpoints) != 1 {
		return nil, fmt.Errorf("a session with an HTTP endpoint is with one, not with %d", len(t.Endpoints))
	}
	endpoint, err := base(t.Endpoints[0])
	if err != nil {
		return nil, err
	}
	if t.TLS != nil && endpoint.Scheme != "https" {
		return nil, fmt.Errorf("%s: tls is asked for, and the endpoint is not https", endpoint.Host)
	}
	r, err := readRequests(t.HTTP)
	if err != nil {
		return nil, err
	}
	s := &session{
		target: t, clock: clk, endpoint: endpoint, requests: r, key: make([]byte, sha256.Size),
		tags: map[live.Setting]string{}, reads: map[string]*url.URL{},
		// A new connection for each request: a server that takes a configuration often ends its connections, and a request that
		// changes something must not find that out by being lost.
		transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   t.TLS.Clone(), DialContext: (&net.Dialer{Timeout: t.Connect}).DialContext, TLSHandshakeTimeout: t.Connect,
			DisableCompression: true, MaxConnsPerHost: 4,
		},
	}
	_, _ = rand.Read(s.key) // it never fails
	s.closed, s.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.reach(ctx); err != nil {
		s.Close()

		return nil, err
	}

	return s, nil
}

// reach finds out whether the endpoint is there, by a request that needs no setting where there is one, else by a
// connection.
func (s *session) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.target.Connect)
	defer cancel()
	for _, p := range []*place{s.requests.read, s.requests.effect.at()} {
		if p == nil || !p.general() {
			continue
		}
		u, err := p.at(s.endpoint, live.Setting{})
		if err != nil {
			return err
		}
		_, err = s.get(ctx, u)

		return err
	}
	dialer := &net.Dialer{}
	address := s.endpoint.Host
	if s.endpoint.Port() == "" {
		address = net.JoinHostPort(s.endpoint.Hostname(), map[string]string{"http": "80", "https": "443"}[s.endpoint.Scheme])
	}

	return persist(func() error {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}

		return conn.Close()
	})
}

// answer is what came back.
type answer struct {
	status int
	body   string
	tag    string
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

func (a answer) String() string {
	return strings.TrimSpace(strconv.Itoa(a.status) + " " + http.StatusText(a.status))
}

// passing says whether the same request may be answered otherwise later.
func (a answer) passing() bool {
	return a.status >= 500 || slices.Contains([]int{http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests}, a.status)
}

func (s *session) get(ctx context.Context, u *url.URL) (answer, error) {
	return s.do(ctx, http.MethodGet, u, "", http.Header{"Accept": {"application/json, text/plain;version=0.0.4;q=0.9, */*;q=0.8"}}, true)
}

// within is the context of one request.
func (s *session) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, s.target.Command)
	stop := context.AfterFunc(s.closed, cancel)

	return ctx, func() {
		stop()
		cancel()
	}
}

// errTooLong says that an answer is not read to its end.
var errTooLong = fmt.Errorf("the answer is longer than %d bytes", most)

// errNoHTTP says that what came back was none of HTTP.
var errNoHTTP = errors.New("the answer is not HTTP")

// clean is the error without what was answered, which the library repeats when it does not understand it.
func clean(err error) error {
	_, network := errors.AsType[net.Error](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	if network || certificate || record {
		return err
	}
	for _, known := range []error{
		store.ErrLogin, errTooLong, io.EOF, io.ErrUnexpectedEOF, context.Canceled, context.DeadlineExceeded, http.ErrSchemeMismatch,
	} {
		if errors.Is(err, known) {
			return err
		}
	}

	return errNoHTTP
}

// attempts is how often a request is made that may be made twice, when nothing is answered because the connection broke.
const attempts = 3

// do makes a request within the time for a command. A server that takes a configuration may close its listener for a new
// one, and what waits there unseen is lost; so what can be done twice, or only once because it says what must be there, is
// asked again. An answer of 401 is an error.
func (s *session) do(ctx context.Context, method string, u *url.URL, body string, header http.Header, again bool) (a answer, err error) {
	ctx, cancel := s.within(ctx)
	defer cancel()
	if !again {
		return s.once(ctx, method, u, body, header)
	}
	var lost error
	err = persist(func() error {
		lost = err
		a, err = s.once(ctx, method, u, body, header)

		return err
	})
	if lost != nil && a.status == http.StatusPreconditionFailed {
		// Maybe it was the first try that has changed it.
		return answer{}, lost
	}

	return a, err
}

// persist does something again whose connection broke.
func persist(do func() error) (err error) {
	for range attempts {
		err = do()
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, io.EOF) {
			break
		}
	}

	return err
}

// once makes a request once.
func (s *session) once(ctx context.Context, method string, u *url.URL, body string, header http.Header) (answer, error) {
	fail := func(err error) (answer, error) {
		return answer{}, fmt.Errorf("%s %s at %s: %w", method, u.Path, u.Host, clean(err))
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("%s %s at %s cannot be asked for", method, u.Path, u.Host)
	}
	r.Header = header
	r.Header.Set("User-Agent", "lockstep")
	s.authorise(r)
	response, err := s.transport.RoundTrip(r) // which follows nothing
	if err != nil {
		return fail(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	switch {
	case err != nil:
		return fail(err)
	case len(text) > most:
		return fail(errTooLong)
	case response.StatusCode == http.StatusUnauthorized:
		return fail(fmt.Errorf("%w (401)", store.ErrLogin))
	}
	s.mu.Lock()
	s.server = response.Header.Get("Server")
	s.mu.Unlock()
	tag := response.Header.Get("ETag")
	if tag == "" {
		tag = response.Trailer.Get("ETag") // as Caddy does
	}

	return answer{response.StatusCode, string(text), tag}, nil
}

func (s *session) authorise(r *http.Request) {
	switch {
	case s.target.Username != "":
		r.SetBasicAuth(s.target.Username, s.target.Password)
	case s.target.Password != "":
		r.Header.Set("Authorization", "Bearer "+s.target.Password)
	}
}

// Read implements [store.Session].
func (s *session) Read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	states := make([]live.State, len(settings))
	for i, setting := range settings {
		states[i] = live.State{Setting: setting, NoUnset: true}
		if err := s.readOne(ctx, &states[i]); err != nil {
			return nil, err
		}
	}

	return states, nil
}

func (s *session) readOne(ctx context.Context, state *live.State) error {
	if state.Problem = s.misplaced(state.Setting); state.Problem != nil {
		return nil
	}
	state.Rule = rule{json: !s.requests.apply.OmitBody && isJSON(s.requests.apply.ContentType), read: s.requests.read != nil}
	if s.requests.read == nil {
		state.Hidden = true

		return nil
	}
	u, _ := s.requests.read.at(s.endpoint, state.Setting) // misplaced has looked at it
	a, err := s.get(ctx, u)
	switch {
	case err != nil:
		return err
	case a.status == http.StatusNotFound || a.status == http.StatusGone:
		s.remember(state.Setting, u, "")
	case a.ok():
		s.remember(state.Setting, u, a.tag)
		state.Stored, state.Running = live.Text(a.body), live.Text(a.body)
	case a.passing():
		return fmt.Errorf("GET %s at %s: it answers %s", u.Path, u.Host, a)
	case a.status == http.StatusForbidden:
		state.Problem = &live.Problem{Cause: live.CauseDenied, Message: fmt.Sprintf("cannot be read: %s answers %s", u.Path, a)}
	default:
		state.Problem = &live.Problem{Cause: live.CauseUnknown, Message: fmt.Sprintf("cannot be read: %s answers %s", u.Path, a)}
	}
	if state.Problem != nil {
		state.Rule = nil
	}

	return nil
}

// remember keeps an address for the probe, and the tag for the next change.
func (s *session) remember(setting live.Setting, u *url.URL, tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tags, setting)
	// A weak tag is the same for different contents, and never matches.
	if tag != "" && !strings.HasPrefix(tag, "W/") {
		s.tags[setting] = tag
	}
	if len(s.reads) < mostReads {
		s.reads[u.String()] = u
	}
}

// misplaced says why a setting cannot be one of an endpoint.
func (s *session) misplaced(setting live.Setting) *live.Problem {
	if setting.Password || setting.Who != "" || setting.Database != "" || setting.Role != "" {
		return &live.Problem{Cause: live.CauseUnknown, Message: "is given a scope or a role, which an HTTP endpoint does not have: it has a prefix and a name"}
	}
	if setting.Name == "" {
		return &live.Problem{Cause: live.CauseUnknown, Message: "needs a name"}
	}
	for _, p := range []*place{s.requests.read, s.requests.check.at(), &s.requests.apply.place, s.requests.effect.at()} {
		if p == nil {
			continue
		}
		if _, err := p.at(s.endpoint, setting); err != nil {
			return &live.Problem{Cause: live.CauseUnknown, Message: err.Error()}
		}
	}

	return nil
}

func (r *request) at() *place {
	if r == nil {
		return nil
	}

	return &r.place
}

// Probe implements [store.Prober]: a mark of everything that was read so far.
func (s *session) Probe(ctx context.Context) (string, error) {
	if s.requests.read == nil {
		return "", fmt.Errorf("%s: %w: the LiveStore says no way to read", s.endpoint.Host, store.ErrNoProbe)
	}
	s.mu.Lock()
	reads := maps.Clone(s.reads)
	s.mu.Unlock()
	mark := hmac.New(sha256.New, s.key)
	for _, address := range slices.Sorted(maps.Keys(reads)) {
		a, err := s.get(ctx, reads[address])
		if err != nil {
			return "", err
		}
		if a.passing() {
			return "", fmt.Errorf("GET %s at %s: it answers %s", reads[address].Path, s.endpoint.Host, a)
		}
		_, _ = fmt.Fprintf(mark, "%d:%s%d:%d:%s", len(address), address, a.status, len(a.body), a.body) // a hash takes everything
	}

	return hex.EncodeToString(mark.Sum(nil)), nil
}

var serverForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._/()+:-]{0,63}$`)

// Version implements [store.Session]: what the endpoint calls itself.
func (s *session) Version() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if serverForm.MatchString(s.server) {
		return s.server
	}

	return "HTTP"
}

// Close implements [store.Session].
func (s *session) Close() {
	s.end()
	s.transport.CloseIdleConnections()
}
