package expect_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) { os.Exit(plane.Main(m)) }

func TestObjectReturnsTheFirstStateThatSatisfies(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	typed := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"}}
	failed := make(chan error, 1)
	go func() { failed <- writeVersions(t.Context(), c, typed.DeepCopy(), "1", "2", "3") }()
	got := expect.Object(t, c, typed, "to have version 2", func(m *corev1.ConfigMap) bool {
		return m.Data["version"] >= "2"
	})
	if version := got.Data["version"]; version != "2" && version != "3" {
		t.Errorf("got version %s, want 2, or 3 when the first look came late", version)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
	t.Run("also as an unstructured object", func(t *testing.T) {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": namespace, "name": "app"},
		}}
		expect.Object(t, c, u, "to have version 3", func(u *unstructured.Unstructured) bool {
			version, _, err := unstructured.NestedString(u.Object, "data", "version")

			return err == nil && version == "3"
		})
	})
}

func TestGoneReturnsWhenTheObjectDoesNotExist(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	app := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"}}
	expect.Gone(t, c, app)
	if err := c.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- c.Delete(t.Context(), app.DeepCopy()) }()
	expect.Gone(t, c, app)
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestAFailureSaysWhatWasExpectedAndLastSeen(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"}, StringData: map[string]string{"password": "hunter2"},
	}
	if err := c.Create(t.Context(), secret.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	untyped := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"namespace": namespace, "name": "db"},
	}}
	absent := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "absent"}}
	cases := map[string]struct {
		key  client.Object
		want []string
	}{
		"an object that stays as it is": {secret, []string{"Secret " + namespace + "/db to be small", "last seen:", "name: db"}},
		"an unstructured one":           {untyped, []string{"Secret " + namespace + "/db to be small", "last seen:", "name: db"}},
		"one that never comes":          {absent, []string{"Secret " + namespace + "/absent to be small", "it does not exist"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := failure(t, func(t testing.TB, give context.CancelFunc) {
				t.Helper()
				expect.Object(t, c, test.key, "to be small", func(client.Object) bool {
					give() // up, after the first look

					return false
				})
			}, test.key == client.Object(absent))
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want it to say %q", got, want)
				}
			}
			if strings.Contains(got, "hunter2") || strings.Contains(got, "aHVudGVyMg==") {
				t.Errorf("the failure shows the Secret's content:\n%s", got)
			}
		})
	}
}

// writeVersions creates the ConfigMap with the first version and updates it to the others.
func writeVersions(ctx context.Context, c client.Client, m *corev1.ConfigMap, versions ...string) error {
	for i, version := range versions {
		m.Data = map[string]string{"version": version}
		write := func() error { return c.Update(ctx, m) }
		if i == 0 {
			write = func() error { return c.Create(ctx, m) }
		}
		if err := write(); err != nil {
			return err
		}
	}

	return nil
}

// impatient is a test whose time is over when it says so, and which keeps its failure for us.
type impatient struct {
	testing.TB

	ctx     context.Context
	failure string
}

func (i *impatient) Context() context.Context { return i.ctx }

func (i *impatient) Fatalf(format string, args ...any) {
	i.failure = fmt.Sprintf(format, args...)
	runtime.Goexit() // as the real one does
}

// failure returns how a verb fails. With over, time is over before it begins.
func failure(t *testing.T, verb func(testing.TB, context.CancelFunc), over bool) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if over {
		cancel()
	}
	test := &impatient{TB: t, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		verb(test, cancel)
	}()
	<-done

	return test.failure
}
