package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
)

const configurationHead = "apiVersion: config.lockstep.dev/v1alpha1\nkind: LockstepConfiguration\n"

func TestManager_AFlagThatIsGivenWinsOverTheFile(t *testing.T) {
	t.Parallel()

	type config = configv1alpha1.LockstepConfiguration

	for name, tc := range map[string]struct {
		file string
		args []string
		env  map[string]string
		want config
	}{
		"neither: the defaults, in the namespace of the kubeconfig": {
			want: config{Namespace: "of-context"},
		},
		"in the namespace of the pod": {
			env: map[string]string{"POD_NAMESPACE": "ops"}, want: config{Namespace: "ops"},
		},
		"the file alone": {
			file: "namespace: of-file\nmetrics: {bindAddress: ':8080'}\nreload: {autoReloadAll: true, carryMissed: false, minInterval: 5s}\n",
			env:  map[string]string{"POD_NAMESPACE": "ops"},
			want: config{
				Namespace: "of-file",
				Metrics:   configv1alpha1.Metrics{BindAddress: ":8080"},
				Reload: configv1alpha1.ReloadConfiguration{
					AutoReloadAll: true, CarryMissed: new(false), MinInterval: &metav1.Duration{Duration: 5 * time.Second},
				},
			},
		},
		"flags over the file, also where they say false and zero": {
			file: "namespace: of-file\nleaderElection: {enabled: true}\n" +
				"reload: {autoReloadAll: true, carryMissed: false, minInterval: 5s, namespaces: [p, q], workers: 3}\n",
			args: []string{
				"--namespace=ops", "--leader-elect=false", "--auto-reload-all=false", "--carry-missed=true",
				"--min-interval=0s", "--namespaces=a",
			},
			want: config{
				Namespace: "ops",
				Reload: configv1alpha1.ReloadConfiguration{
					CarryMissed: new(true), MinInterval: &metav1.Duration{}, Namespaces: []string{"a"}, Workers: 3,
				},
			},
		},
		"every other flag": {
			args: []string{
				"--dialects=reload", "--metrics-bind-address=0", "--leader-elect", "--log-format=json", "--log-level=debug",
				"--strategy=annotations", "--reload-on-create", "--reload-on-delete", "--namespaces-to-ignore=kube-system",
				"--namespace-selector=env:prod", "--resource-label-selector=tier", "--workers=2", "--namespace=ops",
				"--health-probe-bind-address=:8081", "--graph-adopt=always", "--graph-deletion=drain",
				"--graph-delete-kinds", "--graph-definition-selector=team=a", "--graph-workers=3", "--graph-writes=4", "--graph-omit-function",
				"--live-workers=5", "--live-rook=on",
			},
			want: config{
				Dialects:       []string{"reload"},
				Namespace:      "ops",
				Metrics:        configv1alpha1.Metrics{BindAddress: "0"},
				Health:         configv1alpha1.Health{BindAddress: ":8081"},
				LeaderElection: configv1alpha1.LeaderElection{Enabled: true},
				Log:            configv1alpha1.Log{Format: "json", Level: "debug"},
				Reload: configv1alpha1.ReloadConfiguration{
					Strategy: "annotations", ReloadOnCreate: true, ReloadOnDelete: true,
					NamespacesToIgnore: []string{"kube-system"}, NamespaceSelector: []string{"env:prod"},
					ResourceLabelSelector: []string{"tier"}, Workers: 2,
				},
				Graph: configv1alpha1.GraphConfiguration{
					Adopt: "always", DefinitionDeletion: "drain", DeleteKinds: true, Workers: 3, Writes: 4, OmitFunction: true,
					DefinitionSelector: []string{"team=a"},
				},
				Live: configv1alpha1.LiveConfiguration{Workers: 5, Rook: "on"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			args := tc.args
			if tc.file != "" {
				args = append(args, "--config="+writeFile(t, configurationHead+tc.file, t.TempDir(), "lockstep.yaml"))
			}

			got := invoke(t, managerCommand, tc.env, args...)
			if got.err != nil {
				t.Fatal(got.err)
			}

			want := tc.want
			configuration.Default(&want)

			if diff := cmp.Diff(&want, got.config); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestManager_RefusesInWords(t *testing.T) {
	t.Parallel()

	file := writeFile(t, configurationHead+"reload: {strategy: restart, worker: 1}\n", t.TempDir(), "lockstep.yaml")
	values := writeFile(t, configurationHead+"reload: {strategy: restart}\n", t.TempDir(), "lockstep.yaml")

	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"a dialect that does not exist, and those that do": {
			[]string{"--dialects=reload,kafka"}, []string{`--dialects: "kafka": accepted is reload, graph, live`},
		},
		"a field that does not exist, its file and those that do": {
			[]string{"--config=" + file}, []string{file, `unknown field "reload.worker"`, "workers"},
		},
		"a value of the file by its path, one of a flag by the flag": {
			[]string{"--config=" + values, "--log-level=loud"},
			[]string{`reload.strategy: "restart"`, `--log-level: "loud"`},
		},
		"values of graphs by their flags": {
			[]string{
				"--graph-adopt=never", "--graph-deletion=orphan", "--graph-workers=-1", "--graph-writes=-2",
				"--health-probe-bind-address=8081",
			},
			[]string{
				`--graph-adopt: "never": accepted is always, asked`, `--graph-deletion: "orphan": accepted is refuse, drain`,
				`--graph-workers: "-1"`, `--graph-writes: "-2"`, `--health-probe-bind-address: "8081": accepted is host:port`,
			},
		},
		"values of live settings by their flags": {
			[]string{"--live-workers=-1", "--live-rook=auto"},
			[]string{`--live-workers: "-1"`, `--live-rook: "auto": accepted is on, off`},
		},
		"a file that is not there": {[]string{"--config=/nowhere"}, []string{"read the configuration", "/nowhere"}},
		"a kubeconfig that is not there": {
			[]string{"--kubeconfig=/nowhere"}, []string{"read the kubeconfig /nowhere"},
		},
		"a word that means nothing to it": {[]string{"reload"}, []string{`"reload"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := invoke(t, managerCommand, nil, tc.args...)
			if got.err == nil || got.ran {
				t.Fatalf("ran: %v, error: %v, want an error alone", got.ran, got.err)
			}

			for _, want := range tc.want {
				if !strings.Contains(got.err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, got.err)
				}
			}
		})
	}
}

func TestNewLogger_WritesFormatAndLevel(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		log  configv1alpha1.Log
		want []string
		not  []string
	}{
		"text, from info on": {
			configv1alpha1.Log{Format: "console", Level: "info"}, []string{"plain", "broken"}, []string{"fine", "{\"level"},
		},
		"json, from debug on": {
			configv1alpha1.Log{Format: "json", Level: "debug"}, []string{`"msg":"fine"`, `"msg":"plain"`}, []string{"finest"},
		},
		"from trace on":         {configv1alpha1.Log{Level: "trace"}, []string{"finest", "fine", "plain"}, nil},
		"errors alone":          {configv1alpha1.Log{Level: "error"}, []string{"broken"}, []string{"plain"}},
		"warnings, which is so": {configv1alpha1.Log{Level: "warn"}, []string{"broken"}, []string{"plain"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var out bytes.Buffer

			log := newLogger(&out, tc.log)
			log.Error(nil, "broken")
			log.Info("plain")
			log.V(1).Info("fine")
			log.V(6).Info("finest")

			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in:\n%s", want, out.String())
				}
			}

			for _, not := range tc.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("%q is not wanted in:\n%s", not, out.String())
				}
			}

			if strings.Contains(out.String(), ".go:") && strings.Contains(out.String(), "goroutine") {
				t.Errorf("a stack is not wanted in:\n%s", out.String())
			}
		})
	}
}
