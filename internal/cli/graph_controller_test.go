package cli

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
)

// graphDropIn is the configuration of the verb graph-controller where nothing is said.
func graphDropIn() *configv1alpha1.LockstepConfiguration {
	c := &configv1alpha1.LockstepConfiguration{
		Dialects:       []string{"graph"},
		Namespace:      "of-context",
		Metrics:        configv1alpha1.Metrics{BindAddress: ":8078"},
		Health:         configv1alpha1.Health{BindAddress: ":8079"},
		LeaderElection: configv1alpha1.LeaderElection{LeaseName: "controller.kro.run"},
		Graph:          configv1alpha1.GraphConfiguration{Adopt: "always"},
	}
	configuration.Default(c)

	return c
}

func TestGraphController_Section12FlagsBecomeAConfiguration(t *testing.T) {
	t.Parallel()

	type config = configv1alpha1.LockstepConfiguration

	seconds := func(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }

	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want func(*config)
	}{
		"§12 nothing said": {want: func(*config) {}},
		"§12 servers": {
			args: []string{
				"--metrics-bind-address", ":1", "--health-probe-bind-address=:2", "--pprof-bind-address=localhost:3",
			},
			want: func(c *config) {
				c.Metrics.BindAddress, c.Health.BindAddress = ":1", ":2"
				c.Pprof = configv1alpha1.Pprof{Enabled: true, BindAddress: "localhost:3"}
			},
		},
		"§12 no servers": {
			args: []string{"--metrics-bind-address=0", "--health-probe-bind-address=0"},
			want: func(c *config) { c.Metrics.BindAddress, c.Health.BindAddress = "0", "0" },
		},
		"§12 leader election": {
			args: []string{
				"--leader-elect", "--leader-election-namespace=leases", "--leader-election-lease-duration=30s",
				"--leader-election-renew-deadline", "20s", "--leader-election-retry-period=5s",
			},
			want: func(c *config) {
				c.Namespace = "leases"
				c.Reload.MetaInfo.Namespace = "leases"
				c.LeaderElection = configv1alpha1.LeaderElection{
					Enabled: true, LeaseName: "controller.kro.run",
					LeaseDuration: seconds(30), RenewDeadline: seconds(20), RetryPeriod: seconds(5),
				}
			},
		},
		"§12 leader election, in the namespace of the pod": {
			args: []string{"--leader-elect=true"},
			env:  map[string]string{"POD_NAMESPACE": "kro-system"},
			want: func(c *config) {
				c.Namespace, c.LeaderElection.Enabled = "kro-system", true
				c.Reload.MetaInfo.Namespace = "kro-system"
			},
		},
		"§12 how much at the same time": {
			args: []string{
				"--resource-graph-definition-concurrent-reconciles=2", "--dynamic-controller-concurrent-reconciles", "3",
				"--apply-concurrency=4",
			},
			want: func(c *config) { c.Graph.DefinitionWorkers, c.Graph.Workers, c.Graph.Writes = 2, 3, 4 },
		},
		"§12 limits": {
			args: []string{
				"--rgd-max-collection-size=5", "--rgd-max-collection-dimension-size=6", "--rgd-max-graph-revisions", "7",
				"--cel-cost-limit=8",
			},
			want: func(c *config) {
				c.Graph.Collections = configv1alpha1.Collections{MaxSize: 5, MaxDimensions: 6}
				c.Graph.MaxRevisions, c.Graph.CEL.Expression = 7, 8
			},
		},
		"§12 trying again": {
			args: []string{
				"--dynamic-controller-rate-limiter-min-delay=1s", "--dynamic-controller-rate-limiter-max-delay=1000s",
			},
			want: func(c *config) { c.Graph.Retry = configv1alpha1.Retry{MinDelay: seconds(1), MaxDelay: seconds(1000)} },
		},
		"§12 what is deleted and what is taken over": {
			args: []string{"--allow-crd-deletion=true", "--graph-adopt=asked", "--graph-deletion=drain"},
			want: func(c *config) {
				c.Graph.DeleteKinds, c.Graph.Adopt, c.Graph.DefinitionDeletion = true, "asked", "drain"
			},
		},
		"§12 logging": {
			args: []string{"--zap-log-level=error", "--zap-encoder=json"},
			want: func(c *config) { c.Log = configv1alpha1.Log{Format: "json", Level: "error"} },
		},
		"§12 logging for developers": {
			args: []string{"--zap-devel"}, want: func(c *config) { c.Log.Level = "debug" },
		},
		"§12 more detail by a number": {
			args: []string{"--zap-log-level=1"}, want: func(c *config) { c.Log.Level = "debug" },
		},
		"§12 all detail by a number": {
			args: []string{"--zap-log-level=5"}, want: func(c *config) { c.Log.Level = "trace" },
		},
		"§12 panics alone, which are errors here": {
			args: []string{"--zap-log-level=panic"}, want: func(c *config) { c.Log.Level = "error" },
		},
		"§12 a feature gate": {
			args: []string{"--feature-gates=CELOmitFunction=true"}, want: func(c *config) { c.Graph.OmitFunction = true },
		},
		"§12 all feature gates": {
			args: []string{"--feature-gates", "AllAlpha=true"}, want: func(c *config) { c.Graph.OmitFunction = true },
		},
		"§12 all feature gates but one, in whatever order": {
			args: []string{"--feature-gates=CELOmitFunction=false, AllAlpha=true"}, want: func(*config) {},
		},
		"§12 feature gates in two flags": {
			args: []string{"--feature-gates=CELOmitFunction=true", "--feature-gates=GraphKind=false,"},
			want: func(c *config) { c.Graph.OmitFunction = true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := invoke(t, graphControllerCommand, tc.env, tc.args...)
			if got.err != nil {
				t.Fatal(got.err)
			}

			want := graphDropIn()
			tc.want(want)

			if diff := cmp.Diff(want, got.config); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}

			if got.log != "" {
				t.Errorf("it warns of what has an effect:\n%s", got.log)
			}
		})
	}
}

// contractFlags are all that existing installations may pass, with a value that is not the default.
func contractFlags() map[string]string {
	return map[string]string{
		"metrics-bind-address": ":1", "health-probe-bind-address": ":2", "leader-elect": "true",
		"leader-election-lease-duration": "16s", "leader-election-renew-deadline": "11s",
		"leader-election-retry-period": "3s", "leader-election-namespace": "ops", "enable-controller-warmup": "true",
		"allow-crd-deletion": "true", "graceful-shutdown-timeout": "30s",
		"resource-graph-definition-concurrent-reconciles": "2", "graph-revision-concurrent-reconciles": "2",
		"dynamic-controller-concurrent-reconciles": "2", "dynamic-controller-default-queue-max-retries": "30",
		"dynamic-controller-rate-limiter-min-delay": "1s", "dynamic-controller-rate-limiter-max-delay": "10s",
		"dynamic-controller-rate-limiter-rate-limit": "20", "dynamic-controller-rate-limiter-burst-limit": "200",
		"dynamic-controller-default-resync-period": "600", "instance-requeue-interval": "5s",
		"client-qps": "200", "client-burst": "300", "rgd-progress-requeue-delay": "5s",
		"rgd-max-collection-size": "10", "rgd-max-collection-dimension-size": "2", "rgd-max-graph-revisions": "9",
		"feature-gates": "InstanceConditionEvents=true", "pprof-bind-address": ":6060",
		"zap-log-level": "debug", "zap-encoder": "json", "zap-devel": "true", "zap-stacktrace-level": "error",
		"zap-time-encoding": "iso8601",
		// Of the release after that.
		"graph-concurrent-reconciles": "2", "apply-concurrency": "30", "cel-cost-limit": "100",
	}
}

func TestGraphController_Section12TakesEveryKnownFlagInBothForms(t *testing.T) {
	t.Parallel()

	for form, write := range map[string]func(name, value string) []string{
		"--flag=value": func(name, value string) []string { return []string{"--" + name + "=" + value} },
		"--flag value": func(name, value string) []string {
			if value == "true" {
				return []string{"--" + name}
			}

			return []string{"--" + name, value}
		},
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()

			flags := contractFlags()

			var args []string
			for _, name := range slices.Sorted(maps.Keys(flags)) {
				args = append(args, write(name, flags[name])...)
			}

			got := invoke(t, graphControllerCommand, nil, args...)
			if got.err != nil || !got.ran {
				t.Fatalf("ran: %v, error: %v", got.ran, got.err)
			}
		})
	}
}

func TestGraphController_Section12SaysWhichFlagsHaveNoEffect(t *testing.T) {
	t.Parallel()

	idle := []string{
		"client-burst", "client-qps", "dynamic-controller-default-queue-max-retries",
		"dynamic-controller-default-resync-period", "dynamic-controller-rate-limiter-burst-limit",
		"dynamic-controller-rate-limiter-rate-limit", "enable-controller-warmup", "graceful-shutdown-timeout",
		"graph-concurrent-reconciles", "graph-revision-concurrent-reconciles", "instance-requeue-interval",
		"rgd-progress-requeue-delay", "zap-stacktrace-level", "zap-time-encoding",
	}

	var said []string

	for name, value := range contractFlags() {
		if name == "feature-gates" {
			continue
		}

		got := invoke(t, graphControllerCommand, nil, "--leader-election-namespace=ops", "--"+name+"="+value)
		if got.err != nil {
			t.Fatalf("--%s: %v", name, got.err)
		}

		switch {
		case strings.Contains(got.log, "a flag has no effect") && strings.Contains(got.log, `"--`+name+`"`) &&
			strings.Contains(got.log, `"reason"`):
			said = append(said, name)
		case got.log != "":
			t.Errorf("--%s: it logs %q", name, got.log)
		}
	}

	slices.Sort(said)

	if diff := cmp.Diff(idle, said); diff != "" {
		t.Errorf("flags without effect (-want +got):\n%s", diff)
	}
}

func TestGraphController_Section12SaysWhichFeatureGatesHaveNoEffect(t *testing.T) {
	t.Parallel()

	got := invoke(t, graphControllerCommand, nil,
		"--feature-gates=InstanceConditionEvents=true,GraphKind=true,InstanceConditionMetrics=false")
	if got.err != nil {
		t.Fatal(got.err)
	}

	if n := strings.Count(got.log, "a feature gate has no effect"); n != 2 ||
		!strings.Contains(got.log, `"InstanceConditionEvents"`) || !strings.Contains(got.log, `"GraphKind"`) {
		t.Errorf("want two lines that name the gates that are on, got:\n%s", got.log)
	}
}

func TestGraphController_RefusesInWords(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"values by their flags, all at once": {
			[]string{
				"--metrics-bind-address=8078", "--health-probe-bind-address=8079", "--graph-adopt=never",
				"--graph-deletion=orphan", "--apply-concurrency=-1", "--zap-encoder=xml",
			},
			[]string{
				`--metrics-bind-address: "8078": accepted is host:port or :port`,
				`--health-probe-bind-address: "8079": accepted is host:port or :port`,
				`--graph-adopt: "never": accepted is always, asked`, `--graph-deletion: "orphan": accepted is refuse, drain`,
				`--apply-concurrency: "-1": accepted is a number of at least 1`,
				`--zap-encoder: "xml": accepted is console, json`,
			},
		},
		"delays that do not fit each other": {
			[]string{"--dynamic-controller-rate-limiter-min-delay=2m"},
			[]string{`--dynamic-controller-rate-limiter-max-delay: "1m0s": accepted is a duration of at least minDelay 2m0s`},
		},
		"a log level that does not exist": {
			[]string{"--zap-log-level=loud"}, []string{`--zap-log-level: "loud": accepted is debug, info, error or a number`},
		},
		"a feature gate that does not exist, and those that do": {
			[]string{"--feature-gates=Omit=true"},
			[]string{`--feature-gates: "Omit": accepted are AllAlpha, AllBeta, CELOmitFunction, GraphKind`},
		},
		"a feature gate without a value": {
			[]string{"--feature-gates=CELOmitFunction"},
			[]string{`--feature-gates: "CELOmitFunction": accepted is Name=true or Name=false`},
		},
		"a flag that does not exist":      {[]string{"--dialects=graph"}, []string{"--dialects"}},
		"a word that means nothing to it": {[]string{"now"}, []string{`"now"`}},
		"a kubeconfig that is not there": {
			[]string{"--kubeconfig=/nowhere"}, []string{"read the kubeconfig /nowhere"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := invoke(t, graphControllerCommand, nil, tc.args...)
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

func TestGraphController_HelpShowsOnlyFlagsWithAnEffect(t *testing.T) {
	t.Parallel()

	var help strings.Builder

	cmd := newGraphController(genericiooptions.NewTestIOStreamsDiscard(), nil)
	cmd.SetOut(&help)

	if err := cmd.Help(); err != nil {
		t.Fatal(err)
	}

	if text := help.String(); !strings.Contains(text, "--graph-adopt") || strings.Contains(text, "--client-qps") {
		t.Errorf("help:\n%s", text)
	}
}
