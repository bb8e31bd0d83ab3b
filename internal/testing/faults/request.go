package faults

import (
	"net/http"
	"strings"
	"time"
)

// Request is one request to the API server.
type Request struct {
	// Time is when it came in.
	Time time.Time
	// Verb is get, list, watch, create, update, patch, delete or deletecollection; for a path that is not one of a
	// resource it is the HTTP method in lower case.
	Verb string
	// Group, Resource, Subresource, Namespace and Name say what it is about, each empty where it does not apply.
	Group, Resource, Subresource, Namespace, Name string
	// Path is the URL's path and UserAgent the client's name for itself.
	Path, UserAgent string
	// Failed says whether a rule took the request or its answer away.
	Failed bool
}

// Writes says whether the request changes something, if only in a dry run.
func (r Request) Writes() bool {
	switch r.Verb {
	case "get", "list", "watch", "head", "options":
		return false
	default:
		return true
	}
}

// parse reads what a request is about from its path, which is one of
//
//	/api/v1/…  or  /apis/GROUP/VERSION/…  followed by  [namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE]]
func parse(r *http.Request) Request {
	request := Request{Verb: strings.ToLower(r.Method), Path: r.URL.Path, UserAgent: r.UserAgent()}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		request.Group, parts = parts[1], parts[3:]
	default:
		return request
	}
	// A third part after a namespace's name is a resource in it, unless it is one of the namespace's own.
	if len(parts) > 2 && parts[0] == "namespaces" && parts[2] != "status" && parts[2] != "finalize" {
		request.Namespace, parts = parts[1], parts[2:]
	}
	request.Resource = parts[0]
	if len(parts) > 1 {
		request.Name = parts[1]
	}
	if len(parts) > 2 {
		request.Subresource = strings.Join(parts[2:], "/")
	}
	request.Verb = verb(r, request.Name)

	return request
}

func verb(r *http.Request, name string) string {
	switch r.Method {
	case http.MethodGet:
		if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
			return "watch"
		}
		if name == "" {
			return "list"
		}

		return "get"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		if name == "" {
			return "deletecollection"
		}

		return "delete"
	default:
		return strings.ToLower(r.Method)
	}
}
