package configuration_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
)

const head = "apiVersion: config.lockstep.dev/v1alpha1\nkind: LockstepConfiguration\n"

func TestParse_ReadsEveryLevel(t *testing.T) {
	t.Parallel()

	got, err := configuration.Parse([]byte(head + `
dialects: [reload]
namespace: ops
metrics: {bindAddress: ":8080", countByNamespace: true}
health: {bindAddress: ":8081"}
leaderElection: {enabled: true, leaseDuration: 30s}
graph:
  adopt: always
  deleteKinds: true
  collections: {maxSize: 20}
  cel: {expression: 1000}
  retry: {maxDelay: 30s}
live:
  workers: 8
  storeConcurrency: 2
  rook: on
  retry: {minDelay: 2s}
reload:
  strategy: annotations
  carryMissed: false
  minInterval: 0s
  workers: 4
  namespaceSelector: ["env in (a,b)", "team:*"]
  annotations: {configmapAuto: example.com/auto}
  webhook: {url: "https://hooks.example/x", timeout: 3s}
`))
	if err != nil {
		t.Fatal(err)
	}

	want := &configv1alpha1.LockstepConfiguration{
		TypeMeta:  metav1.TypeMeta{APIVersion: configv1alpha1.APIVersion, Kind: configv1alpha1.Kind},
		Dialects:  []string{"reload"},
		Namespace: "ops",
		Metrics:   configv1alpha1.Metrics{BindAddress: ":8080", CountByNamespace: true},
		Health:    configv1alpha1.Health{BindAddress: ":8081"},
		Graph: configv1alpha1.GraphConfiguration{
			Adopt:       configv1alpha1.AdoptAlways,
			DeleteKinds: true,
			Collections: configv1alpha1.Collections{MaxSize: 20},
			CEL:         configv1alpha1.CELLimits{Expression: 1000},
			Retry:       configv1alpha1.Retry{MaxDelay: metav1.Duration{Duration: 30 * time.Second}},
		},
		Live: configv1alpha1.LiveConfiguration{
			Workers:          8,
			StoreConcurrency: 2,
			Rook:             configv1alpha1.SwitchOn,
			Retry:            configv1alpha1.Retry{MinDelay: metav1.Duration{Duration: 2 * time.Second}},
		},
		LeaderElection: configv1alpha1.LeaderElection{
			Enabled: true, LeaseDuration: metav1.Duration{Duration: 30 * time.Second},
		},
		Reload: configv1alpha1.ReloadConfiguration{
			Strategy:          configv1alpha1.StrategyAnnotations,
			CarryMissed:       new(false),
			MinInterval:       &metav1.Duration{},
			Workers:           4,
			NamespaceSelector: []string{"env in (a,b)", "team:*"},
			Annotations:       configv1alpha1.ReloadAnnotations{ConfigMapAuto: "example.com/auto"},
			Webhook: configv1alpha1.ReloadWebhook{
				URL: "https://hooks.example/x", Timeout: metav1.Duration{Duration: 3 * time.Second},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestParse_ReadsSwitchesHoweverYAMLReadsThem(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]configv1alpha1.Switch{
		"on": "on", "off": "off", `"on"`: "on", "true": "on", "false": "off", "auto": "auto", "sometimes": "sometimes",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()

			c, err := configuration.Parse([]byte(head + "reload: {argoRollouts: " + text + ", csi: " + text + "}\n"))
			if err != nil {
				t.Fatal(err)
			}

			if c.Reload.ArgoRollouts != want || c.Reload.CSI != want {
				t.Errorf("got %q and %q, want %q", c.Reload.ArgoRollouts, c.Reload.CSI, want)
			}
		})
	}

	if _, err := configuration.Parse([]byte(head + "reload: {csi: [on]}\n")); err == nil {
		t.Error("a list is no switch, and no error was given")
	}
}

func TestParse_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct{ text, want string }{
		"an unknown field at the top, and what is accepted": {
			head + "dialect: [reload]\n",
			`unknown field "dialect": accepted here are apiVersion, dialects, graph, health, kind, leaderElection, live, log, ` +
				`metrics, namespace, pprof, reload`,
		},
		"two unknown fields further down": {
			head + "metrics: {port: 1}\nreload: {webhook: {token: x}}\n",
			"unknown field \"metrics.port\": accepted here are bindAddress, countByNamespace\n" +
				`unknown field "reload.webhook.token": accepted here are timeout, url`,
		},
		"a field whose letters have another case": {
			head + "log: {Level: debug}\n",
			`unknown field "log.Level": accepted here are format, level`,
		},
		"another kind": {
			"apiVersion: v1\nkind: ConfigMap\n",
			`apiVersion "v1" and kind "ConfigMap": accepted are "config.lockstep.dev/v1alpha1" and "LockstepConfiguration"`,
		},
		"an empty file": {
			"",
			`apiVersion "" and kind "": accepted are "config.lockstep.dev/v1alpha1" and "LockstepConfiguration"`,
		},
		"a value of another type": {
			head + "reload: {workers: many}\n",
			"a value does not fit its field: json: cannot unmarshal string into Go struct field " +
				"ReloadConfiguration.reload.workers of type int",
		},
		"a field given twice": {
			head + "namespace: a\nnamespace: b\n",
			"not YAML: yaml: unmarshal errors:\n  line 4: key \"namespace\" already set in map",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := configuration.Parse([]byte(tc.text))
			if err == nil {
				t.Fatal("no error")
			}

			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad_NamesTheFile(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	wrong, right := filepath.Join(dir, "wrong.yaml"), filepath.Join(dir, "right.yaml")

	for file, text := range map[string]string{wrong: head + "x: 1\n", right: head + "namespace: ops\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	c, err := configuration.Load(right)
	if err != nil || c.Namespace != "ops" {
		t.Errorf("got %v, %v, want the namespace ops", c, err)
	}

	_, err = configuration.Load(wrong)

	want := "configuration " + wrong + `: unknown field "x": accepted here are apiVersion, dialects, graph, health, kind, ` +
		`leaderElection, live, log, metrics, namespace, pprof, reload`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}

	if _, err := configuration.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want one that wraps fs.ErrNotExist", err)
	}
}

func FuzzParse_NeverPanics(f *testing.F) {
	f.Add([]byte(head))
	f.Add([]byte(head + "reload: {minInterval: 1}\n"))
	f.Add([]byte(head + "reload: []\n"))
	f.Add([]byte("[]"))
	f.Add([]byte("a: &a [*a]"))

	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := configuration.Parse(text)
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want one of the two", c, err)
		}

		if err != nil {
			return
		}

		configuration.Default(c)

		for _, p := range configuration.Validate(c) {
			if p.Path == "" || p.Accepted == "" {
				t.Errorf("a problem that does not say where or what: %#v", p)
			}
		}
	})
}
