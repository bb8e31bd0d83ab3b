package faults

import (
	"context"
	"encoding/json"
	"io"
	"log" //nolint:depguard // the standard library's proxy and server complain through it
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// Rule says what happens to the requests that it matches. Of several that match, the one that was added first
// counts. Hold and Delay come before everything else; with neither Status, Drop nor DropAnswer the request then goes
// on to the server.
type Rule struct {
	// Match selects requests by what they ask for; every request when nil.
	Match func(Request) bool
	// Status is the HTTP status to answer with instead of the server, which never sees the request.
	Status int
	// RetryAfter is sent along with Status, in whole seconds.
	RetryAfter time.Duration
	// Drop closes the connection without an answer; the server never sees the request.
	Drop bool
	// DropAnswer lets the server carry the request out and closes the connection instead of passing its answer on.
	DropAnswer bool
	// Delay is how long the request waits.
	Delay time.Duration
	// Hold has the request wait until the channel is closed.
	Hold <-chan struct{}
	// Times is how many requests the rule is for; no limit when 0.
	Times int
	// Until is closed when the rule ends; it does not end when nil.
	Until <-chan struct{}
}

// Proxy is an API server with faults. Its methods may be called from any goroutine.
type Proxy struct {
	config *rest.Config
	server *httptest.Server
	admin  http.Handler // acts with the rights of the configuration that the proxy was made from
	caller http.Handler // passes the caller's own credentials on
	clock  clock.Clock

	mu       sync.Mutex
	rules    []*active
	requests []Request
	watches  map[int]context.CancelFunc
	next     int // key of the next watch
}

// active is a rule in force.
type active struct {
	Rule

	left int
}

// New returns a proxy in front of the API server of the configuration, closed when the test ends. A request that
// carries no credentials is made with those of the configuration, also when it impersonates somebody.
func New(t testing.TB, config *rest.Config) *Proxy {
	t.Helper()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatalf("read the address of the API server: %v", err)
	}
	admin, err := rest.TransportFor(config)
	if err != nil {
		t.Fatalf("make the way to the API server: %v", err)
	}
	caller, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	if err != nil {
		t.Fatalf("make the way to the API server: %v", err)
	}
	p := &Proxy{
		admin: forward(target, admin), caller: forward(target, caller),
		clock: clock.RealClock{}, watches: map[int]context.CancelFunc{},
	}
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ErrorLog = quiet()
	p.server.Start()
	p.config = rest.AnonymousClientConfig(config)
	p.config.Host, p.config.TLSClientConfig = p.server.URL, rest.TLSClientConfig{}
	t.Cleanup(func() {
		p.server.CloseClientConnections() // a watch or a held request would never end by itself
		p.server.Close()
	})

	return p
}

// forward returns a handler that passes requests on, and what is read of their answers at once.
func forward(target *url.URL, transport http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      quiet(),
		// An answer that the server did not give must not look like one.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// Config returns a client configuration that goes through the proxy. It is the caller's own copy.
func (p *Proxy) Config() *rest.Config { return rest.CopyConfig(p.config) }

// Add puts a rule in force and returns what ends it.
func (p *Proxy) Add(rule Rule) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	added := &active{Rule: rule, left: rule.Times}
	p.rules = append(p.rules, added)

	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.rules = slices.DeleteFunc(p.rules, func(a *active) bool { return a == added })
	}
}

// Cut closes the connections of all watches that are open now. Clients may open them again.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cancel := range p.watches {
		cancel()
	}
}

// Requests returns the requests that were made since the start or the last Reset, in the order in which they came.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()

	return slices.Clone(p.requests)
}

// Reset forgets the requests that were made until now.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// ServeHTTP is the proxy's side towards its clients.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := parse(r)
	request.Time = p.clock.Now()
	rule := p.record(&request)
	if rule == nil {
		p.pass(w, r, request)

		return
	}
	p.wait(r.Context(), rule)
	switch {
	case rule.Drop:
		panic(http.ErrAbortHandler)
	case rule.Status != 0:
		answer(w, request, rule)
	case rule.DropAnswer:
		p.pass(httptest.NewRecorder(), r, request)
		panic(http.ErrAbortHandler)
	default:
		p.pass(w, r, request)
	}
}

// record writes the request down and returns the rule for it, nil when there is none.
func (p *Proxy) record(request *Request) *Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = slices.DeleteFunc(p.rules, (*active).over)
	i := slices.IndexFunc(p.rules, func(a *active) bool { return a.Match == nil || a.Match(*request) })
	var rule *Rule
	if i >= 0 {
		p.rules[i].left--
		rule = &p.rules[i].Rule
		request.Failed = rule.Drop || rule.DropAnswer || rule.Status != 0
	}
	p.requests = append(p.requests, *request)

	return rule
}

// over says whether a rule is used up or has ended.
func (a *active) over() bool {
	if a.Times > 0 && a.left <= 0 {
		return true
	}
	select {
	case <-a.Until:
		return true
	default:
		return false
	}
}

// wait keeps a request for as long as its rule says, or until its client gives up.
func (p *Proxy) wait(ctx context.Context, rule *Rule) {
	if rule.Hold != nil {
		select {
		case <-rule.Hold:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	if rule.Delay > 0 {
		select {
		case <-p.clock.After(rule.Delay):
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// pass hands the request to the server. A watch can be cut while it is open.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, request Request) {
	if request.Verb == "watch" {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		r = r.WithContext(ctx)
		p.mu.Lock()
		key := p.next
		p.next++
		p.watches[key] = cancel
		p.mu.Unlock()
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.watches, key)
		}()
	}
	if r.Header.Get("Authorization") != "" {
		p.caller.ServeHTTP(w, r)

		return
	}
	p.admin.ServeHTTP(w, r)
}

// answer sends the error that an API server would send with the rule's status.
func answer(w http.ResponseWriter, request Request, rule *Rule) {
	seconds := int(rule.RetryAfter / time.Second)
	resource := schema.GroupResource{Group: request.Group, Resource: request.Resource}
	status := apierrors.NewGenericServerResponse(
		rule.Status, request.Verb, resource, request.Name, "a fault that a test asked for", seconds, true).Status()
	body, err := json.Marshal(status)
	if err != nil {
		panic(err) // a status of ours is made of words and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	if seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	w.WriteHeader(rule.Status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}
