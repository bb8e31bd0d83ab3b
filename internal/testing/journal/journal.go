// Package journal keeps what a controller under test has asked the server and what it has logged.
package journal

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Requests are what a client has asked a server. The zero Requests are none. It is safe for concurrent use.
type Requests struct {
	mu   sync.Mutex
	list []string
}

// Through returns a transport that notes each request before it passes it on.
func (r *Requests) Through(next http.RoundTripper) http.RoundTripper {
	return RoundTripper(func(q *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.list = append(r.list, q.Method+" "+q.URL.RequestURI())
		r.mu.Unlock()

		return next.RoundTrip(q)
	})
}

// Seen returns the requests so far, each as its method and its address, without watches.
func (r *Requests) Seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()

	return slices.DeleteFunc(slices.Clone(r.list), func(q string) bool { return strings.Contains(q, "watch=true") })
}

// RoundTripper is a transport that is a function.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f RoundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

// Log is what was logged. The zero Log is empty. It is safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Write notes a line. It is what funcr.New takes.
func (l *Log) Write(prefix, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.lines = append(l.lines, prefix+": "+args)
}

// String returns all lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()

	return strings.Join(l.lines, "\n")
}
