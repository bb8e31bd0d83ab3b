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
}

// openAudit opens the log, which the API server has created before it became ready.
func openAudit(path string) (*auditLog, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return &auditLog{file: file, counts: map[string]requests{}}, nil
}

// of returns all requests of the user until now.
func (l *auditLog) of(user string) (requests, error) {
	data, err := io.ReadAll(l.file)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	if err := l.add(data); err != nil {
		return nil, err
	}
	return maps.Clone(l.counts[user]), nil
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
	return nil
}

func (l *auditLog) close() error {
	return l.file.Close() //nolint:wrapcheck // opened for reading, the path is in the error
}
