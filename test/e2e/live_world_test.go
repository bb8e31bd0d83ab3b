package e2e

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// TestLiveSettings runs the dialect of live settings as it is installed: its managers have the rights that `lockstep install`
// gives them and no others. It is not parallel to the tests of the other dialects, one of which uninstalls everything.
func TestLiveSettings(t *testing.T) {
	base := newWorld(t)
	base.installLive()

	tests := map[string]func(*liveWorld){
		"a Secret for three stores is carried into all of them by the least rights": (*liveWorld).threeStores,
		"a manager that is killed at any moment loses nothing":                      (*liveWorld).killed,
		"another replica carries what is changed when the leader is killed":         (*liveWorld).succeeded,
		"nothing is lost while the API server is in trouble":                        (*liveWorld).troubled,
		"whatever happens on the way to a store, a change is there or it is not":    (*liveWorld).wired,
		"no value of a Secret or a store is told anywhere":                          (*liveWorld).secretive,
		"Ready tells what whoever is paged has to know":                             (*liveWorld).paged,
		"a right that was missing is used once it is granted":                       (*liveWorld).granted,
		"Rook's own objects are served":                                             (*liveWorld).rooks,
		"an external cluster of Rook needs a login that may set":                    (*liveWorld).external,
		"the server takes what the documents show":                                  (*liveWorld).documented,
		"the rights that the guide prints are enough":                               (*liveWorld).printed,
	}
	maps.Copy(tests, liveExamples())

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newLiveWorld(t, base.token))
		})
	}
}

// installLive runs `lockstep install` and has the processes be the service account that it makes.
func (w *world) installLive() {
	w.Helper()

	w.home = "lockstep-system"
	env := []string{"HOME=" + w.TempDir(), "KUBECONFIG=" + plane.Kubeconfig(w)}

	if code := start(w.TB, env, "install", "--dialects=live", "--live-rook=on").exit(); code != 0 {
		w.Fatalf("install: exit code %d", code)
	}

	w.Cleanup(func() {
		if code := start(w.TB, env, "uninstall").exit(); code != 0 {
			w.Errorf("uninstall: exit code %d", code)
		}
	})

	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.home, Name: "lockstep"}}
	w.become(account)
}

// liveWorld is a world for live settings. Its managers see its namespace alone, although they serve all that they see.
type liveWorld struct {
	*world

	view *view
	// rights are those that the managers may use.
	rights []right
	// runs are all managers that were started.
	runs []*process
	// secrets are values that no manager may write anywhere but into a store or a record.
	secrets []string
}

func newLiveWorld(t *testing.T, token string) *liveWorld {
	t.Helper()

	scheme, err := plane.Scheme()
	if err != nil {
		t.Fatal(err)
	}

	if err := lockstepv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}

	c, err := client.NewWithWatch(plane.Config(t), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}

	w := newWorld(t)
	w.client, w.home, w.token = c, "lockstep-system", token

	l := &liveWorld{world: w, view: &view{next: w.proxy, namespace: w.namespace}, rights: installedRights(t, false)}
	w.front = l.view

	t.Cleanup(l.tidy)

	return l
}

// tidy ends a test: nothing was refused, nothing was asked for beyond the rights, nothing secret was said, and nothing keeps
// the namespace from going.
func (w *liveWorld) tidy() {
	for _, p := range w.runs {
		p.kill()
		w.quiet("the output of the manager", p.out.String())
	}

	for _, refused := range w.view.refusals() {
		w.Errorf("the server refused: %s", refused)
	}

	w.within(w.proxy.Requests())

	ctx := context.WithoutCancel(w.Context())

	var left lockstepv1alpha1.LiveConfigList
	if err := w.client.List(ctx, &left, client.InNamespace(w.namespace)); err != nil {
		w.Logf("list what is left: %v", err)
	}

	for i := range left.Items {
		free := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		_ = w.client.Patch(ctx, &left.Items[i], free)
		_ = w.client.Delete(ctx, &left.Items[i])
	}
}

// quiet fails if a text has a secret in it.
func (w *liveWorld) quiet(what, text string) {
	w.Helper()

	for _, secret := range w.secrets {
		for name, form := range forms(secret) {
			if i := strings.Index(text, form); i >= 0 {
				w.Errorf("%s has a secret (%s): …%s…", what, name, text[max(0, i-200):min(len(text), i+len(form)+50)])
			}
		}
	}
}

// manage runs `lockstep manager` for live settings.
func (w *liveWorld) manage(args ...string) *process {
	w.Helper()

	p := start(w.TB, w.environment(), append([]string{
		"manager", "--dialects=live", "--namespace=" + w.home, "--metrics-bind-address=0", "--log-level=debug",
	}, args...)...)
	w.runs = append(w.runs, p)

	return p
}

// view is what stands between a manager and the API server. The tests share a plane and each manager serves all of it, so
// what it lists and watches is that of one namespace.
type view struct {
	next      http.Handler
	namespace string

	mu      sync.Mutex
	refused []string
}

// ServeHTTP passes a request on, confined to the namespace.
func (v *view) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if r.Method == http.MethodGet && !strings.Contains(r.URL.Path, "/namespaces/") && slices.Contains(confined(), resource) {
		query := r.URL.Query()
		selector := "metadata.namespace=" + v.namespace

		if former := query.Get("fieldSelector"); former != "" {
			selector = former + "," + selector
		}

		query.Set("fieldSelector", selector)

		r = r.Clone(r.Context())
		r.URL = &url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	}

	v.next.ServeHTTP(&answer{ResponseWriter: w, view: v, request: r.Method + " " + r.URL.Path}, r)
}

// confined are the resources of which a manager sees those of one namespace.
func confined() []string {
	return []string{"secrets", "configmaps", "liveconfigs", "livestores", "cephclusters", "cephobjectstores"}
}

func (v *view) refusals() []string {
	v.mu.Lock()
	defer v.mu.Unlock()

	return slices.Clone(v.refused)
}

// answer takes note of what is forbidden.
type answer struct {
	http.ResponseWriter

	view    *view
	request string
}

// WriteHeader begins an answer.
func (a *answer) WriteHeader(status int) {
	if status == http.StatusForbidden || status == http.StatusUnauthorized {
		a.view.mu.Lock()
		a.view.refused = append(a.view.refused, fmt.Sprintf("%d %s", status, a.request))
		a.view.mu.Unlock()
	}

	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets a watch be flushed.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// put creates a Secret in the world's namespace, or gives it other contents.
func (w *liveWorld) put(name string, data map[string]string) *corev1.Secret {
	w.Helper()

	s := &corev1.Secret{ObjectMeta: w.meta(name)}
	err := w.client.Get(w.Context(), client.ObjectKeyFromObject(s), s)
	w.must(client.IgnoreNotFound(err))

	s.Data = map[string][]byte{}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}

	if err != nil {
		w.create(s)
	} else {
		w.must(w.client.Update(w.Context(), s))
	}

	return s
}

// liveConfig is the key of a LiveConfig.
func (w *liveWorld) liveConfig(name string) *lockstepv1alpha1.LiveConfig {
	return &lockstepv1alpha1.LiveConfig{ObjectMeta: w.meta(name)}
}

// liveStore is the key of a LiveStore.
func (w *liveWorld) liveStore(name string) *lockstepv1alpha1.LiveStore {
	return &lockstepv1alpha1.LiveStore{ObjectMeta: w.meta(name)}
}

// config waits until a LiveConfig is so.
func (w *liveWorld) config(name, what string, is func(*lockstepv1alpha1.LiveConfig) bool) *lockstepv1alpha1.LiveConfig {
	w.Helper()

	return expect.Object(w.TB, w.client, w.liveConfig(name), what, is)
}

// carried waits until what a LiveConfig asks for is in force, as the source is now.
func (w *liveWorld) carried(name string, source client.Object) *lockstepv1alpha1.LiveConfig {
	w.Helper()

	return w.config(name, "to have carried "+source.GetName(), func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && saw(l, source)
	})
}

// saw says whether a status is about a source as it is now.
func saw(l *lockstepv1alpha1.LiveConfig, source client.Object) bool {
	return slices.ContainsFunc(l.Status.ObservedSources, func(s lockstepv1alpha1.ObservedSource) bool {
		return s.Name == source.GetName() && s.ResourceVersion == source.GetResourceVersion()
	})
}

func isReady(l *lockstepv1alpha1.LiveConfig) bool {
	return l.Status.ObservedGeneration == l.Generation && strings.HasPrefix(says(l.Status.Conditions, "Ready"), "True/")
}

// at says whether a LiveConfig is in force with a revision.
func at(revision int64) func(*lockstepv1alpha1.LiveConfig) bool {
	return func(l *lockstepv1alpha1.LiveConfig) bool { return isReady(l) && l.Status.Revision == revision }
}

// says is a condition as "status/reason: message".
func says(all []metav1.Condition, kind string) string {
	c := conditions.Find(all, kind)
	if c == nil {
		return ""
	}

	return fmt.Sprintf("%s/%s: %s", c.Status, c.Reason, c.Message)
}

// told says whether a condition of a LiveConfig begins so.
func told(kind, prefix string) func(*lockstepv1alpha1.LiveConfig) bool {
	return func(l *lockstepv1alpha1.LiveConfig) bool {
		return l.Status.ObservedGeneration == l.Generation && strings.HasPrefix(says(l.Status.Conditions, kind), prefix)
	}
}

// lets deletes a LiveConfig and waits until it has given everything back.
func (w *liveWorld) lets(name string) {
	w.Helper()
	w.must(w.client.Delete(w.Context(), w.liveConfig(name)))
	expect.Gone(w.TB, w.client, w.liveConfig(name))
}

// setting is a setting from a key of a Secret.
func setting(storeName, name, secret, key string) lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{
		StoreRef: &lockstepv1alpha1.StoreReference{Name: storeName}, Name: name,
		ValueFrom: &lockstepv1alpha1.ValueSource{SecretKeyRef: &lockstepv1alpha1.KeyReference{Name: secret, Key: key}},
	}
}

// happened are the events in the namespace about an object, as "type reason: message".
func (w *liveWorld) happened(kind, name string) []string {
	w.Helper()

	var found []string

	for _, e := range all(w.world, w.namespace, &corev1.EventList{}).Items {
		if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name {
			found = append(found, fmt.Sprintf("%s %s: %s", e.Type, e.Reason, e.Message))
		}
	}

	return found
}

// hears waits for an event that begins so.
func (w *liveWorld) hears(kind, name, prefix string) {
	w.Helper()
	eventually(w.TB, fmt.Sprintf("an event %q on %s %s", prefix, kind, name), func() bool {
		return slices.ContainsFunc(w.happened(kind, name), func(e string) bool { return strings.HasPrefix(e, prefix) })
	})
}

// records are the Secrets in which a LiveConfig's revisions are kept.
func (w *liveWorld) records() []corev1.Secret {
	w.Helper()

	return slices.DeleteFunc(all(w.world, w.namespace, &corev1.SecretList{}).Items, func(s corev1.Secret) bool {
		return s.Labels["lockstep.dev/record"] == ""
	})
}

// request is what the server was asked, as in the proxy's notes.
type request = faults.Request

// linesOf are the lines of a text that are neither empty nor comments.
func linesOf(text string) []string {
	var found []string

	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && !strings.HasPrefix(line, "#") {
			found = append(found, line)
		}
	}

	return found
}
