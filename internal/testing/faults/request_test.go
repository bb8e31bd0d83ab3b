package faults

import (
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestARequestIsReadAsTheAPIServerReadsIt(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		method, url string
		want        Request
		writes      bool
	}{
		"a list of everything of a kind": {
			method: "GET", url: "/api/v1/secrets?limit=500", want: Request{Verb: "list", Resource: "secrets"},
		},
		"a watch in a namespace": {
			method: "GET", url: "/apis/apps/v1/namespaces/shop/deployments?watch=true&resourceVersion=7",
			want: Request{Verb: "watch", Group: "apps", Resource: "deployments", Namespace: "shop"},
		},
		"a get by name": {
			method: "GET", url: "/api/v1/namespaces/shop/configmaps/app",
			want: Request{Verb: "get", Resource: "configmaps", Namespace: "shop", Name: "app"},
		},
		"a namespace itself": {
			method: "GET", url: "/api/v1/namespaces/shop", want: Request{Verb: "get", Resource: "namespaces", Name: "shop"},
		},
		"the end of a namespace": {
			method: "PUT", url: "/api/v1/namespaces/shop/finalize", writes: true,
			want: Request{Verb: "update", Resource: "namespaces", Name: "shop", Subresource: "finalize"},
		},
		"a create": {
			method: "POST", url: "/apis/batch/v1/namespaces/shop/jobs", writes: true,
			want: Request{Verb: "create", Group: "batch", Resource: "jobs", Namespace: "shop"},
		},
		"a patch of a status": {
			method: "PATCH", url: "/apis/apps/v1/namespaces/shop/deployments/app/status?fieldManager=me", writes: true,
			want: Request{
				Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "shop", Name: "app", Subresource: "status",
			},
		},
		"a delete": {
			method: "DELETE", url: "/api/v1/nodes/node-1", writes: true,
			want: Request{Verb: "delete", Resource: "nodes", Name: "node-1"},
		},
		"a delete of many": {
			method: "DELETE", url: "/api/v1/namespaces/shop/pods?labelSelector=a", writes: true,
			want: Request{Verb: "deletecollection", Resource: "pods", Namespace: "shop"},
		},
		"discovery is about no resource":      {method: "GET", url: "/apis/apps/v1", want: Request{Verb: "get"}},
		"a health check is about no resource": {method: "GET", url: "/readyz", want: Request{Verb: "get"}},
		"the core group's discovery likewise": {method: "GET", url: "/api/v1", want: Request{Verb: "get"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(test.method, test.url, nil)
			r.Header.Set("User-Agent", "test")
			test.want.Path, test.want.UserAgent = r.URL.Path, "test"
			got := parse(r)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if got.Writes() != test.writes {
				t.Errorf("writes: got %v, want %v", got.Writes(), test.writes)
			}
		})
	}
}
