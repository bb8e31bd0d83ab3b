package faults_test

import (
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/lockstep-dev/lockstep/internal/testing/faults"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) { os.Exit(plane.Main(m)) }

func TestWithoutARuleEverythingPassesAndIsWrittenDown(t *testing.T) {
	t.Parallel()
	namespace := plane.Namespace(t)
	proxy, maps := through(t, namespace)
	create(t, maps, "app")
	if _, err := maps.Get(t.Context(), "app", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range proxy.Requests() {
		got = append(got, r.Verb+" "+r.Namespace+"/"+r.Resource+"/"+r.Name)
		if r.UserAgent != "the-test" || r.Failed || r.Time.IsZero() {
			t.Errorf("got the request %+v, want one of the-test, with its time, that did not fail", r)
		}
	}
	want := []string{"create " + namespace + "/configmaps/", "get " + namespace + "/configmaps/app"}
	if !slices.Equal(got, want) {
		t.Errorf("got the requests %v, want %v", got, want)
	}
	proxy.Reset()
	if left := proxy.Requests(); len(left) != 0 {
		t.Errorf("after Reset: got %v, want none", left)
	}
}

func TestARuleAnswersInPlaceOfTheServerAsOftenAsItSays(t *testing.T) {
	t.Parallel()
	proxy, maps := through(t, plane.Namespace(t))
	proxy.Add(faults.Rule{Match: creates, Status: 500, Times: 1})
	if err := createError(t, maps, "app"); !apierrors.IsInternalError(err) {
		t.Errorf("the first create: got %v, want an internal error", err)
	}
	if err := createError(t, maps, "app"); err != nil {
		t.Errorf("the second create: got %v, want none", err)
	}
	if requests := proxy.Requests(); !requests[0].Failed || requests[1].Failed {
		t.Errorf("got the requests %+v, want only the first to have failed", requests)
	}
}

func TestARuleSendsRetryAfter(t *testing.T) {
	t.Parallel()
	proxy, maps := through(t, plane.Namespace(t))
	// The client itself tries again after the time it was told, until it is tired of it.
	proxy.Add(faults.Rule{Match: creates, Status: 429, RetryAfter: time.Second, Times: 1})
	create(t, maps, "app")
	requests := proxy.Requests()
	if len(requests) != 2 {
		t.Fatalf("got %d requests, want the first and one more", len(requests))
	}
	if gap := requests[1].Time.Sub(requests[0].Time); gap < time.Second {
		t.Errorf("tried again after %s, want at least 1s", gap)
	}
}

func TestARuleEnds(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*faults.Proxy) func(){
		"when it is removed": func(p *faults.Proxy) func() {
			return p.Add(faults.Rule{Match: creates, Status: 503})
		},
		"when its channel is closed": func(p *faults.Proxy) func() {
			until := make(chan struct{})
			p.Add(faults.Rule{Match: creates, Status: 503, Until: until})

			return func() { close(until) }
		},
	}
	for name, add := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, maps := through(t, plane.Namespace(t))
			end := add(proxy)
			for range 2 {
				if err := createError(t, maps, "app"); !apierrors.IsServiceUnavailable(err) {
					t.Errorf("before its end: got %v, want service unavailable", err)
				}
			}
			end()
			create(t, maps, "app")
		})
	}
}

func TestOfSeveralRulesTheFirstCounts(t *testing.T) {
	t.Parallel()
	proxy, maps := through(t, plane.Namespace(t))
	proxy.Add(faults.Rule{Match: creates, Status: 500, Times: 1})
	proxy.Add(faults.Rule{Status: 409})
	if err := createError(t, maps, "app"); !apierrors.IsInternalError(err) {
		t.Errorf("got %v, want an internal error", err)
	}
	if err := createError(t, maps, "app"); !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
		t.Errorf("got %v, want a conflict", err)
	}
}

func TestADroppedRequestNeverReachesTheServer(t *testing.T) {
	t.Parallel()
	namespace := plane.Namespace(t)
	proxy, maps := through(t, namespace)
	proxy.Add(faults.Rule{Match: creates, Drop: true})
	if err := createError(t, maps, "app"); err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		t.Errorf("got %v, want an error that no server sent", err)
	}
	if _, err := maps.Get(t.Context(), "app", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}

func TestADroppedAnswerLeavesTheWriteDone(t *testing.T) {
	t.Parallel()
	proxy, maps := through(t, plane.Namespace(t))
	proxy.Add(faults.Rule{Match: creates, DropAnswer: true})
	if err := createError(t, maps, "app"); err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		t.Errorf("got %v, want an error that no server sent", err)
	}
	if _, err := maps.Get(t.Context(), "app", metav1.GetOptions{}); err != nil {
		t.Errorf("got %v, want what was written", err)
	}
}

func TestADelayedRequestComesLater(t *testing.T) {
	t.Parallel()
	proxy, maps := through(t, plane.Namespace(t))
	proxy.Add(faults.Rule{Match: creates, Delay: 100 * time.Millisecond})
	create(t, maps, "app")
	made, err := maps.Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	requests := proxy.Requests()
	if made.Name != "app" || requests[1].Time.Sub(requests[0].Time) < 100*time.Millisecond {
		t.Errorf("got the requests %+v, want the second 100ms after the first", requests)
	}
}

func TestAHeldRequestWaitsForItsChannel(t *testing.T) {
	t.Parallel()
	proxy, maps := through(t, plane.Namespace(t))
	hold := make(chan struct{})
	proxy.Add(faults.Rule{Match: creates, Hold: hold})
	done := make(chan error, 1)
	go func() { done <- createError(t, maps, "app") }()
	for !slices.ContainsFunc(proxy.Requests(), creates) { // it is on its way to the proxy
		if _, err := maps.List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := maps.Get(t.Context(), "app", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("while it is held: got %v, want not found", err)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Errorf("after it is let go: got %v", err)
	}
}

func TestCutEndsTheOpenWatchesAndNotTheNext(t *testing.T) {
	t.Parallel()
	proxy, maps := through(t, plane.Namespace(t))
	first := open(t, maps)
	create(t, maps, "before")
	if event := <-first.ResultChan(); event.Type != watch.Added {
		t.Fatalf("got the event %s, want %s: events must pass at once", event.Type, watch.Added)
	}
	proxy.Cut()
	for event := range first.ResultChan() {
		if event.Type != watch.Error {
			t.Errorf("got the event %s after the cut", event.Type)
		}
	}
	second := open(t, maps)
	if event := <-second.ResultChan(); event.Type != watch.Added {
		t.Errorf("the next watch: got the event %s, want %s", event.Type, watch.Added)
	}
}

func TestACallersOwnIdentityIsPassedOn(t *testing.T) {
	t.Parallel()
	proxy := faults.New(t, plane.Config(t))
	cases := map[string]struct {
		change func(*rest.Config)
		refuse func(error) bool
	}{
		"somebody impersonated has only their own rights": {
			change: func(c *rest.Config) { c.Impersonate.UserName = "nobody" }, refuse: apierrors.IsForbidden,
		},
		"an unknown token is refused, not replaced": {
			change: func(c *rest.Config) { c.BearerToken = "unknown" }, refuse: apierrors.IsUnauthorized,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := proxy.Config()
			test.change(config)
			client, err := corev1client.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Secrets("").List(t.Context(), metav1.ListOptions{}); !test.refuse(err) {
				t.Errorf("got %v, want to be refused", err)
			}
		})
	}
}

func creates(r faults.Request) bool { return r.Verb == "create" }

// through returns a new proxy and the ConfigMaps of a namespace behind it.
func through(t *testing.T, namespace string) (*faults.Proxy, corev1client.ConfigMapInterface) {
	t.Helper()
	proxy := faults.New(t, plane.Config(t))
	config := proxy.Config()
	config.UserAgent = "the-test"
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}

	return proxy, client.ConfigMaps(namespace)
}

func createError(t *testing.T, maps corev1client.ConfigMapInterface, name string) error {
	t.Helper()
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})

	return err
}

func create(t *testing.T, maps corev1client.ConfigMapInterface, name string) {
	t.Helper()
	if err := createError(t, maps, name); err != nil {
		t.Fatal(err)
	}
}

// open watches the ConfigMaps that a namespace does not have by itself.
func open(t *testing.T, maps corev1client.ConfigMapInterface) watch.Interface {
	t.Helper()
	w, err := maps.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)

	return w
}
