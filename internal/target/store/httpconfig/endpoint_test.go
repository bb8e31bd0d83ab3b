package httpconfig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// canary is the value in these tests: it is in every answer, and must be in no error.
const canary = "canary-7f"

// shelf is an endpoint that keeps texts by their paths. What it is told to answer it answers instead, with what it was sent.
type shelf struct {
	mu      sync.Mutex
	texts   map[string]string
	answers map[string]int // by method and path
	seen    []*http.Request
}

func newShelf(t *testing.T) (*shelf, string) {
	t.Helper()
	s := &shelf{texts: map[string]string{}, answers: map[string]int{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)

	return s, server.URL
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r)
	w.Header().Set("Server", "Shelf/1.0")
	if status, ok := s.answers[r.Method+" "+r.URL.Path]; ok {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = w.Write(append([]byte("you sent "), body...))

		return
	}
	text, ok := s.texts[r.URL.Path]
	switch {
	case r.Method == http.MethodGet && ok:
		_, _ = w.Write([]byte(text))
	case r.Method == http.MethodGet:
		http.NotFound(w, r)
	default:
		s.texts[r.URL.Path] = string(body)
	}
}

func (s *shelf) answer(what string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[what] = status
}

func (s *shelf) last() *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.seen[len(s.seen)-1]
}

func (s *shelf) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return len(s.seen)
}

// shelves are the requests to a shelf.
func shelves() lockstepv1alpha1.HTTPStore {
	return lockstepv1alpha1.HTTPStore{
		Read:  &lockstepv1alpha1.HTTPRead{Path: "/{name}"},
		Check: &lockstepv1alpha1.HTTPRequest{Path: "/-/check/{name}"},
		Apply: lockstepv1alpha1.HTTPRequest{Method: http.MethodPut, Path: "/{name}"},
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]string{
		200: "", 204: "", 301: "refused", 302: "refused", 307: "refused", 400: "refused", 403: "refused", 404: "refused", 409: "refused", 412: "refused", 422: "refused",
		401: "login", 408: "untold", 429: "untold", 500: "untold", 502: "untold", 503: "untold",
	} {
		shelf, url := newShelf(t)
		s := openAt(t, url, shelves())
		shelf.answer("POST /-/check/a", status)
		shelf.answer("PUT /a", status)
		for how, do := range map[string]func(context.Context, []live.Change) error{"check": s.Check, "apply": s.Apply} {
			err := do(t.Context(), to("a", canary))
			_, refused := errors.AsType[*store.RefusedError](err)
			got := ""
			switch {
			case refused:
				got = "refused"
			case errors.Is(err, store.ErrLogin):
				got = "login"
			case err != nil:
				got = "untold"
			}
			if got != kind {
				t.Errorf("%s, %d: got %v", how, status, err)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("%s, %d: the error has the value: %v", how, status, err)
			}
		}
		for _, r := range shelf.seen {
			if r.URL.Path == "/elsewhere" {
				t.Errorf("%d: a redirect was followed", status)
			}
		}
	}
}

func TestWhatAReadMeans(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct {
		cause       live.Cause
		login, fail bool
	}{
		404: {}, 410: {}, 403: {cause: live.CauseDenied}, 400: {cause: live.CauseUnknown}, 302: {cause: live.CauseUnknown},
		401: {login: true, fail: true}, 500: {fail: true}, 503: {fail: true}, 429: {fail: true},
	} {
		shelf, url := newShelf(t)
		s := openAt(t, url, shelves())
		shelf.answer("GET /a", status)
		states, err := s.Read(t.Context(), []live.Setting{named("a")})
		if (err != nil) != want.fail || errors.Is(err, store.ErrLogin) != want.login {
			t.Errorf("%d: got %v", status, err)
		}
		if err != nil {
			continue
		}
		cause := live.Cause("")
		if states[0].Problem != nil {
			cause = states[0].Problem.Cause
		}
		if cause != want.cause || states[0].Stored.Set || (states[0].Rule == nil) != (cause != "") {
			t.Errorf("%d: got %+v", status, states[0])
		}
	}
}

func TestAValueIsSentAsItIs(t *testing.T) {
	t.Parallel()
	shelf, url := newShelf(t)
	s := openAt(t, url, shelves())
	if got := s.Version(); got != "HTTP" {
		t.Errorf("got %s before anything was answered", got)
	}
	for text, kind := range map[string]string{`{"a": 1}`: "application/json", "a: 1\n": "text/plain", "": "text/plain", "\xff\x00é": "text/plain"} {
		apply(t, s, to("a b/c", text))
		r := shelf.last()
		if r.Header.Get("Content-Type") != kind || r.Method != http.MethodPut || r.RequestURI != "/a%20b%2Fc" || r.Header.Get("User-Agent") != "lockstep" {
			t.Errorf("%q: got %s %s of %s", text, r.Method, r.RequestURI, r.Header.Get("Content-Type"))
		}
		if state := read(t, s, named("a b/c")); state.Stored != live.Text(text) || state.Running != state.Stored {
			t.Errorf("%q: got %+v", text, state)
		}
	}
	if got := s.Version(); got != "Shelf/1.0" {
		t.Errorf("got %s", got)
	}
}

func TestNothingIsSentOfWhatCannotBe(t *testing.T) {
	t.Parallel()
	shelf, url := newShelf(t)
	s := openAt(t, url, shelves())
	for name, change := range map[string]live.Change{
		"out of the path": {Setting: named(".."), To: live.Text("a")},
		"no name":         {To: live.Text("a")},
		"a role":          {Setting: live.Setting{Name: "a", Role: "r"}, To: live.Text("a")},
		"a password":      {Setting: live.Setting{Password: true, Role: "r"}, To: live.Text("a")},
		"to be unset":     {Setting: named("a")},
	} {
		for _, do := range []func(context.Context, []live.Change) error{s.Check, s.Apply} {
			// The one before it is not sent either.
			err := do(t.Context(), append(to("ok", "a"), change))
			if _, refused := errors.AsType[*store.RefusedError](err); !refused {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if state := read(t, s, change.Setting); name != "to be unset" && (state.Problem == nil || state.Rule != nil) {
			t.Errorf("%s: got %+v", name, state)
		}
	}
	shelf.mu.Lock()
	defer shelf.mu.Unlock()
	if _, sent := shelf.texts["/ok"]; sent {
		t.Error("a part of a change was sent")
	}
}

func TestHowWeLogIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ username, password, want string }{
		"with a user":       {"ann", "secret", "Basic YW5uOnNlY3JldA=="},
		"with a token":      {"", "secret", "Bearer secret"},
		"with nothing":      {"", "", ""},
		"with a user alone": {"ann", "", "Basic YW5uOg=="},
	} {
		shelf, url := newShelf(t)
		s := openAt(t, url, shelves(), func(t *store.Target) { t.Username, t.Password = c.username, c.password })
		read(t, s, named("a"))
		if got := shelf.last().Header.Get("Authorization"); got != c.want {
			t.Errorf("%s: got %q", name, got)
		}
	}
	shelf, url := newShelf(t)
	h := shelves()
	h.Read.Path = "/all"
	shelf.answer("GET /all", http.StatusUnauthorized)
	if _, err := Driver(&jumping{}).Open(t.Context(), targetOf(url, h)); !errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v", err)
	}
	// A token that is none does not get into an error.
	_, err := Driver(&jumping{}).Open(t.Context(), targetOf(url, h, func(t *store.Target) { t.Password = canary + "\n" }))
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	_, url := newShelf(t)
	for name, target := range map[string]store.Target{
		"no endpoint":                targetOf(url, shelves(), func(t *store.Target) { t.Endpoints = nil }),
		"a user in the endpoint":     targetOf("http://a:b@127.0.0.1", shelves()),
		"no requests":                targetOf(url, shelves(), func(t *store.Target) { t.HTTP = nil }),
		"TLS without https":          targetOf(url, shelves(), func(t *store.Target) { t.TLS = &tls.Config{} }),
		"nobody there":               targetOf("http://127.0.0.1:1", shelves()),
		"nobody there to be read":    targetOf("http://127.0.0.1:1", wholeConfig()),
		"https of who does not know": targetOf(strings.Replace(url, "http", "https", 1), wholeConfig()),
		"a path that is none":        targetOf(url, lockstepv1alpha1.HTTPStore{Apply: lockstepv1alpha1.HTTPRequest{Path: "load"}}),
		"a check that is none": targetOf(url, lockstepv1alpha1.HTTPStore{
			Apply: lockstepv1alpha1.HTTPRequest{Path: "/load"}, Check: &lockstepv1alpha1.HTTPRequest{Path: "x"},
		}),
		"a read that is none": targetOf(url, lockstepv1alpha1.HTTPStore{
			Apply: lockstepv1alpha1.HTTPRequest{Path: "/load"}, Read: &lockstepv1alpha1.HTTPRead{Path: "x"},
		}),
		"a metric that is none": targetOf(url, lockstepv1alpha1.HTTPStore{
			Apply: lockstepv1alpha1.HTTPRequest{Path: "/load"}, Effect: &lockstepv1alpha1.HTTPEffect{Path: "/m", Metric: "{", Equals: "1"},
		}),
		"an effect without a path": targetOf(url, lockstepv1alpha1.HTTPStore{
			Apply: lockstepv1alpha1.HTTPRequest{Path: "/load"}, Effect: &lockstepv1alpha1.HTTPEffect{Path: "m", Equals: "1"},
		}),
		"a metric that is no number": targetOf(url, lockstepv1alpha1.HTTPStore{
			Apply: lockstepv1alpha1.HTTPRequest{Path: "/load"}, Effect: &lockstepv1alpha1.HTTPEffect{Path: "/m", Metric: "a", Equals: "yes"},
		}),
	} {
		s, err := Driver(&jumping{}).Open(t.Context(), target)
		if err == nil {
			s.Close()
			t.Errorf("%s: it was opened", name)
		} else if errors.Is(err, store.ErrLogin) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestNoMoreOfAnAnswerIsReadThanThereIsRoomFor(t *testing.T) {
	t.Parallel()
	shelf, url := newShelf(t)
	s := openAt(t, url, shelves())
	shelf.texts["/a"] = strings.Repeat("x", most)
	if state := read(t, s, named("a")); len(state.Stored.Text) != most {
		t.Errorf("got %d bytes", len(state.Stored.Text))
	}
	shelf.texts["/a"] += "x"
	if _, err := s.Read(t.Context(), []live.Setting{named("a")}); !errors.Is(err, errTooLong) {
		t.Errorf("got %v", err)
	}
}

func TestATagIsSentWithTheNextChangeAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tag  string
		want []string // the If-Match of two changes after one another
	}{
		"a tag":         {`"v1"`, []string{`"v1"`, ""}},
		"a weak one":    {`W/"v1"`, []string{"", ""}},
		"none at all":   {"", []string{"", ""}},
		"one of a path": {`"/config/ 1a"`, []string{`"/config/ 1a"`, ""}},
	} {
		var got []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && c.tag != "" {
				w.Header().Set("ETag", c.tag)
			} else if r.Method == http.MethodPut {
				got = append(got, r.Header.Get("If-Match"))
			}
		}))
		s := openAt(t, server.URL, shelves())
		read(t, s, named("a"))
		apply(t, s, append(to("a", "1"), to("a", "2")...))
		if len(got) != 2 || got[0] != c.want[0] || got[1] != c.want[1] {
			t.Errorf("%s: got %q", name, got)
		}
		s.Close()
		server.Close()
	}
}

func TestTheEffectIsAskedForUntilItIsThere(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := asked.Add(1); {
		case r.URL.Path != "/state/a":
			asked.Store(0)
		case n == 1:
			w.WriteHeader(http.StatusBadGateway)
		case n < 5:
			_, _ = io.WriteString(w, "old "+canary)
		default:
			_, _ = io.WriteString(w, "new\n")
		}
	}))
	t.Cleanup(server.Close)
	h := lockstepv1alpha1.HTTPStore{
		Apply:  lockstepv1alpha1.HTTPRequest{Path: "/load"},
		Effect: &lockstepv1alpha1.HTTPEffect{Path: "/state/{name}", Equals: "new"},
	}
	clk := &jumping{now: time.Now()}
	s := openTarget(t, targetOf(server.URL, h), clk)
	// Two settings of one effect wait once.
	apply(t, s, append(to("a", "1"), to("a", "2")...))
	if got := asked.Load(); got != 5 || len(clk.waits) != 4 {
		t.Errorf("it was asked %d times, after %v", got, clk.waits)
	}
	h.Effect.Equals = "newer"
	s = openTarget(t, targetOf(server.URL, h), &jumping{now: time.Now()})
	err := s.Apply(t.Context(), to("a", "1"))
	if refused, ok := errors.AsType[*store.RefusedError](err); !ok || refused.Reason != "was taken, but /state/{name} does not answer what it should" {
		t.Errorf("got %v", err)
	}
}

func TestWaitingForAnEffectEnds(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/state" {
			asked <- struct{}{}
		}
	}))
	t.Cleanup(server.Close)
	h := lockstepv1alpha1.HTTPStore{
		Apply: lockstepv1alpha1.HTTPRequest{Path: "/load"}, Effect: &lockstepv1alpha1.HTTPEffect{Path: "/state", Equals: "new"},
	}
	for name, end := range map[string]func(*session, func()){
		"with its context": func(_ *session, cancel func()) { cancel() },
		"with its session": func(s *session, _ func()) { s.Close() },
	} {
		s := openAt(t, server.URL, h, func(t *store.Target) { t.Command = time.Hour })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Apply(ctx, to("a", "1")) }()
		for range 3 { // once for the opening
			<-asked
		}
		end(s, cancel)
		if err := <-done; err == nil {
			t.Errorf("%s: it was applied", name)
		}
		cancel()
	}
}

func TestAnAnswerThatIsNotUnderstoodIsNotRepeated(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, canary+" "+canary+"\r\n\r\n")
			_ = conn.Close()
		}
	}()
	s := openAt(t, "http://"+l.Addr().String(), shelves())
	_, err = s.Read(t.Context(), []live.Setting{named("a")})
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v", err)
	}
}

func TestOverTLS(t *testing.T) {
	t.Parallel()
	shelf := &shelf{texts: map[string]string{"/": "a"}, answers: map[string]int{}}
	server := httptest.NewUnstartedServer(shelf)
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	over := func(config *tls.Config) store.Target {
		h := shelves()
		h.Read.Path = "/"

		return targetOf(server.URL, h, func(t *store.Target) { t.TLS = config })
	}
	s := openTarget(t, over(&tls.Config{RootCAs: pool}), &jumping{})
	if state := read(t, s, named("a")); state.Stored != live.Text("a") {
		t.Errorf("got %+v", state)
	}
	for name, config := range map[string]*tls.Config{
		"who signed it is not known": {RootCAs: x509.NewCertPool()},
		"the system's authorities":   nil,
	} {
		if _, err := Driver(&jumping{}).Open(t.Context(), over(config)); err == nil {
			t.Errorf("%s: it was opened", name)
		}
	}
}

// breaking is a listener that resets the next connections as a server does whose listener is closed while they wait for it.
type breaking struct {
	net.Listener

	next atomic.Int32
}

func (b *breaking) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil || b.next.Add(-1) < 0 {
			return conn, err
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

func TestWhatMayBeAskedTwiceIsAskedAgainWhenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		breaks      int32
		conditional bool
		read, apply bool // that it works
	}{
		"nothing breaks":                                     {0, false, true, true},
		"only once a request is lost":                        {1, false, true, false},
		"a change that says what must be there is asked too": {1, true, true, true},
		"twice":                      {2, true, true, true},
		"what breaks always is told": {100, true, false, false},
	} {
		shelf := &shelf{texts: map[string]string{"/a": "1"}, answers: map[string]int{}}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", map[bool]string{true: `"7"`, false: `W/"7"`}[tc.conditional])
			shelf.ServeHTTP(w, r)
		}))
		b := &breaking{Listener: server.Listener}
		server.Listener = b
		server.Start()
		s := openAt(t, server.URL, shelves())
		read(t, s, named("a"))

		b.next.Store(tc.breaks)
		_, err := s.Read(t.Context(), []live.Setting{named("b")})
		if (err == nil) != tc.read {
			t.Errorf("%s: read: got %v", name, err)
		}

		before := shelf.requests()
		b.next.Store(tc.breaks)
		err = s.Apply(t.Context(), to("a", canary))
		_, refused := errors.AsType[*store.RefusedError](err)
		if (err == nil) != tc.apply || refused || err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: apply: got %v", name, err)
		}
		if made := shelf.requests() - before; made > 1 || (made == 1) != tc.apply {
			t.Errorf("%s: it was made %d times", name, made)
		}
		server.Close()
	}
}

// The change was made, and the answer is lost: that the next try finds something else is no sign of somebody else.
func TestAChangeThatWasMadeAndNotAnsweredIsLeftToBeReadBack(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"at the address where it is read": "/{name}", "at another one": "/set/{name}"} {
		shelf := &shelf{texts: map[string]string{"/a": "1"}, answers: map[string]int{}}
		var made atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"`+strconv.Itoa(int(made.Load()))+`"`)
			if r.Method != http.MethodPut {
				shelf.ServeHTTP(w, r)

				return
			}
			if path == "/{name}" && r.Header.Get("If-Match") != `"`+strconv.Itoa(int(made.Load()))+`"` {
				w.WriteHeader(http.StatusPreconditionFailed)

				return
			}
			made.Add(1)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)

				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}))
		h := shelves()
		h.Apply.Path = path
		s := openAt(t, server.URL, h)
		read(t, s, named("a"))
		err := s.Apply(t.Context(), to("a", canary))
		_, refused := errors.AsType[*store.RefusedError](err)
		if err == nil || refused || strings.Contains(err.Error(), "somebody else") || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v", name, err)
		}
		if got := made.Load(); got != 1 {
			t.Errorf("%s: it was made %d times", name, got)
		}
		server.Close()
	}
}

func TestTheProbeMarksWhatWasRead(t *testing.T) {
	t.Parallel()
	shelf, url := newShelf(t)
	s := openAt(t, url, shelves())
	read(t, s, named("a"))
	read(t, s, named("b"))
	mark := probe(t, s)
	before := shelf.requests()
	if probe(t, s) != mark || shelf.requests() != before+2 {
		t.Error("it changed by itself, or asked for more than what was read")
	}
	shelf.mu.Lock()
	shelf.texts["/b"] = ""
	shelf.mu.Unlock()
	if probe(t, s) == mark {
		t.Error("the mark is the same, though there is something now")
	}
	shelf.answer("GET /a", http.StatusInternalServerError)
	if _, err := s.Probe(t.Context()); err == nil {
		t.Error("a failure is a mark")
	}
}

func BenchmarkAgainstTheRequestsThemselves(b *testing.B) {
	shelf := &shelf{texts: map[string]string{}, answers: map[string]int{}}
	server := httptest.NewServer(shelf)
	b.Cleanup(server.Close)
	s := openAt(b, server.URL, shelves())
	client := server.Client()
	for name, do := range map[string]func() error{
		"raw-put": func() error {
			r, _ := http.NewRequestWithContext(b.Context(), http.MethodPut, server.URL+"/a", strings.NewReader("1"))
			response, err := client.Do(r)
			if err != nil {
				return err
			}

			return response.Body.Close()
		},
		"apply": func() error { return s.Apply(b.Context(), to("a", "1")) },
		"read":  func() error { _, err := s.Read(b.Context(), []live.Setting{named("a")}); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
