package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"
)

// auditPolicy writes one line for each request of the benchmark's identities, when it arrives, and nothing for
// anybody else: so it costs every controller and the raw limit the same, and the plane itself nothing.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted, ResponseComplete, Panic]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:` + systemNamespace + `"]
- level: None
`

// managerPolicy also counts what the controller manager writes: children that are changed twice make it write twice.
const managerPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted, ResponseComplete, Panic]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:` + systemNamespace + `"]
- level: Metadata
  userGroups: ["` + managerGroup + `"]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// The identities of the controller manager: one for each of its controllers.
const (
	managerGroup  = "system:serviceaccounts:kube-system"
	managerPrefix = "system:serviceaccount:kube-system:"
)

// requests counts requests by verb and resource, such as "patch deployments".
type requests map[string]int

// verbs returns the number of requests with one of the verbs.
func (r requests) verbs(verbs ...string) int {
	sum := 0
	for what, n := range r {
		for _, verb := range verbs {
			if strings.HasPrefix(what, verb+" ") {
				sum += n
			}
		}
	}
	return sum
}

// all returns the number of requests.
func (r requests) all() int {
	sum := 0
	for _, n := range r {
		sum += n
	}
	return sum
}

// withoutLeases returns the number of requests other than those that only hold a Lease.
func (r requests) withoutLeases() int {
	sum := 0
	for what, n := range r {
		if !strings.HasSuffix(what, " leases") {
			sum += n
		}
	}
	return sum
}

// writes returns the number of requests that store something, Leases aside.
func (r requests) writes() int { return r.withoutLeases() - r.reads() - r.watches() }

// reads returns the number of requests that only ask: also reviews, which are created but not stored. Opening a
// watch is none, and neither is looking at a Lease.
func (r requests) reads() int {
	sum := 0
	for what, n := range r {
		verb, resource, _ := strings.Cut(what, " ")
		if resource != "leases" && (verb == "get" || verb == "list" || strings.HasSuffix(resource, "reviews")) {
			sum += n
		}
	}
	return sum
}

// watches returns the number of watches that were opened.
func (r requests) watches() int { return r.verbs("watch") - r["watch leases"] }

// since returns what came after the earlier count.
func (r requests) since(earlier requests) requests {
	diff := requests{}
	for what, n := range r {
		if n > earlier[what] {
			diff[what] = n - earlier[what]
		}
	}
	return diff
}

// auditLog counts the requests in the API server's audit log by user. It is not safe for concurrent use.
type auditLog struct {
	file *os.File
	// rest is the beginning of a line whose end has not been written yet.
	rest   []byte
	counts map[string]requests
	// latest is when the last request of each user came, Leases aside.
	latest map[string]time.Time
}

// openAudit opens the log, which the API server has created before it became ready.
func openAudit(path string) (*auditLog, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return &auditLog{file: file, counts: map[string]requests{}, latest: map[string]time.Time{}}, nil
}

// of returns all requests of the user until now.
func (l *auditLog) of(user string) (requests, error) {
	if err := l.read(); err != nil {
		return nil, err
	}
	return maps.Clone(l.counts[user]), nil
}

// ofManager returns all requests of the controller manager until now, as far as the policy logs them.
func (l *auditLog) ofManager() (requests, error) {
	if err := l.read(); err != nil {
		return nil, err
	}
	sum := requests{}
	for user, counts := range l.counts {
		if !strings.HasPrefix(user, managerPrefix) {
			continue
		}
		for what, n := range counts {
			sum[what] += n
		}
	}
	return sum, nil
}

// last returns when the last request of the user came, Leases aside; zero for none.
func (l *auditLog) last(user string) (time.Time, error) {
	err := l.read()
	return l.latest[user], err
}

// read takes what was logged since.
func (l *auditLog) read() error {
	data, err := io.ReadAll(l.file)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	return l.add(data)
}

// add counts the finished lines.
func (l *auditLog) add(data []byte) error {
	l.rest = append(l.rest, data...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return nil
		}
		l.rest = rest
		if err := l.count(line); err != nil {
			return err
		}
	}
}

// auditEvent is what we read of a line.
type auditEvent struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`

	ObjectRef *struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
}

func (l *auditLog) count(line []byte) error {
	var event auditEvent
	if err := json.Unmarshal(line, &event); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	if event.Verb == "" || event.User.Username == "" {
		return errors.New("audit log: a line without verb or user")
	}
	// Discovery, health and version have no object.
	what := event.Verb + " (discovery)"
	if ref := event.ObjectRef; ref != nil && ref.Resource != "" {
		what = event.Verb + " " + ref.Resource
		if ref.Subresource != "" {
			what += "/" + ref.Subresource
		}
	}
	if l.counts[event.User.Username] == nil {
		l.counts[event.User.Username] = requests{}
	}
	l.counts[event.User.Username][what]++
	// Requests that come at the same time may be written in another order.
	at := event.RequestReceivedTimestamp
	if !strings.HasSuffix(what, " leases") && at.After(l.latest[event.User.Username]) {
		l.latest[event.User.Username] = at
	}
	return nil
}

func (l *auditLog) close() error {
	return l.file.Close() //nolint:wrapcheck // opened for reading, the path is in the error
}
