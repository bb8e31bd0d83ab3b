package configuration_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
)

func seconds(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }

func TestDefault_FillsInWhatIsLeftOut(t *testing.T) {
	t.Parallel()

	got := &configv1alpha1.LockstepConfiguration{Namespace: "ops"}
	configuration.Default(got)

	interval := seconds(1)
	want := &configv1alpha1.LockstepConfiguration{
		TypeMeta:  metav1.TypeMeta{APIVersion: "config.lockstep.dev/v1alpha1", Kind: "LockstepConfiguration"},
		Dialects:  []string{"reload", "graph", "live"},
		Namespace: "ops",
		Metrics:   configv1alpha1.Metrics{BindAddress: ":9090"},
		Health:    configv1alpha1.Health{BindAddress: "0"},
		Pprof:     configv1alpha1.Pprof{BindAddress: "127.0.0.1:6060"},
		LeaderElection: configv1alpha1.LeaderElection{
			LeaseName: "lockstep", LeaseDuration: seconds(15), RenewDeadline: seconds(10), RetryPeriod: seconds(2),
		},
		Log: configv1alpha1.Log{Format: "console", Level: "info"},
		Reload: configv1alpha1.ReloadConfiguration{
			Strategy:     "env-vars",
			CarryMissed:  new(true),
			ArgoRollouts: "auto",
			CSI:          "auto",
			MinInterval:  &interval,
			Workers:      16,
			Annotations: configv1alpha1.ReloadAnnotations{
				ConfigMap:           "configmap.reloader.stakater.com/reload",
				Secret:              "secret.reloader.stakater.com/reload",
				Auto:                "reloader.stakater.com/auto",
				ConfigMapAuto:       "configmap.reloader.stakater.com/auto",
				SecretAuto:          "secret.reloader.stakater.com/auto",
				AutoSearch:          "reloader.stakater.com/search",
				SearchMatch:         "reloader.stakater.com/match",
				Ignore:              "reloader.stakater.com/ignore",
				PauseDeployment:     "deployment.reloader.stakater.com/pause-period",
				PauseDeploymentTime: "deployment.reloader.stakater.com/paused-at",
			},
			Webhook:  configv1alpha1.ReloadWebhook{Timeout: seconds(10)},
			Alerts:   configv1alpha1.Alerts{Sink: "raw"},
			MetaInfo: configv1alpha1.MetaInfo{Namespace: "ops"},
		},
		Graph: configv1alpha1.GraphConfiguration{
			Adopt:              "asked",
			DefinitionDeletion: "refuse",
			MaxRevisions:       5,
			Workers:            16,
			DefinitionWorkers:  4,
			Writes:             32,
			Collections:        configv1alpha1.Collections{MaxSize: 1000, MaxDimensions: 10},
			CEL:                configv1alpha1.CELLimits{Expression: 10_000_000, Pass: 100_000_000},
			Retry: configv1alpha1.Retry{
				MinDelay: metav1.Duration{Duration: 200 * time.Millisecond}, MaxDelay: seconds(60),
			},
		},
		Live: configv1alpha1.LiveConfiguration{
			Workers:          256,
			StoreConcurrency: 64,
			Rook:             "off",
			Retry:            configv1alpha1.Retry{MinDelay: seconds(1), MaxDelay: seconds(300)},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}

	if problems := configuration.Validate(got); len(problems) != 0 {
		t.Errorf("the defaults are not accepted: %v", problems)
	}

	configuration.Default(got)

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after filling in again (-want +got):\n%s", diff)
	}
}

func TestDefault_KeepsWhatIsGiven(t *testing.T) {
	t.Parallel()

	var none metav1.Duration

	graph := configv1alpha1.GraphConfiguration{
		Adopt: "always", DefinitionDeletion: "drain", DeleteKinds: true, MaxRevisions: 1, Workers: 2,
		DefinitionWorkers: 3, Writes: 4, OmitFunction: true,
		DefinitionSelector: []string{"team=a"},
		Collections:        configv1alpha1.Collections{MaxSize: 5, MaxDimensions: 6},
		CEL:                configv1alpha1.CELLimits{Expression: 7, Pass: 8},
		Retry:              configv1alpha1.Retry{MinDelay: seconds(9), MaxDelay: seconds(10)},
	}
	live := configv1alpha1.LiveConfiguration{
		Workers: 1, StoreConcurrency: 2, Rook: "on", Retry: configv1alpha1.Retry{MinDelay: seconds(3), MaxDelay: seconds(4)},
	}
	c := &configv1alpha1.LockstepConfiguration{
		Health: configv1alpha1.Health{BindAddress: ":8081"},
		Reload: configv1alpha1.ReloadConfiguration{
			CarryMissed: new(false), MinInterval: &none, Workers: 3, Strategy: "annotations",
			Namespaces: []string{" a ", "", "b", "a"}, ResourcesToIgnore: []string{"configMaps"},
		},
		Graph: graph,
		Live:  live,
	}
	configuration.Default(c)

	if diff := cmp.Diff(graph, c.Graph); diff != "" || c.Health.BindAddress != ":8081" {
		t.Errorf("a given value was replaced: health %q, graph (-want +got):\n%s", c.Health.BindAddress, diff)
	}

	if diff := cmp.Diff(live, c.Live); diff != "" {
		t.Errorf("a given value was replaced: live (-want +got):\n%s", diff)
	}

	if *c.Reload.CarryMissed || c.Reload.MinInterval.Duration != 0 || c.Reload.Workers != 3 ||
		c.Reload.Strategy != "annotations" {
		t.Errorf("a given value was replaced: %+v", c.Reload)
	}

	if diff := cmp.Diff([]string{"a", "b"}, c.Reload.Namespaces); diff != "" {
		t.Errorf("namespaces without blanks and doubles (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff([]string{"configmaps"}, c.Reload.ResourcesToIgnore); diff != "" {
		t.Errorf("§18 resources in any case (-want +got):\n%s", diff)
	}
}

func TestValidate_NamesFieldValueAndWhatIsAccepted(t *testing.T) {
	t.Parallel()

	type config = configv1alpha1.LockstepConfiguration

	for name, tc := range map[string]struct {
		change func(*config)
		want   []string
	}{
		"an unknown dialect": {
			func(c *config) { c.Dialects = []string{"reload", "kafka"} },
			[]string{`dialects[1]: "kafka": accepted is reload, graph, live`},
		},
		"an address without a port": {
			func(c *config) { c.Metrics.BindAddress = "9090" },
			[]string{`metrics.bindAddress: "9090": accepted is host:port or :port`},
		},
		"health probes at an address without a port": {
			func(c *config) { c.Health.BindAddress = "localhost" },
			[]string{`health.bindAddress: "localhost": accepted is host:port or :port`},
		},
		"ways to adopt and to delete that do not exist": {
			func(c *config) { c.Graph.Adopt, c.Graph.DefinitionDeletion = "never", "orphan" },
			[]string{
				`graph.adopt: "never": accepted is always, asked`,
				`graph.definitionDeletion: "orphan": accepted is refuse, drain`,
			},
		},
		"a selector of definitions that cannot be parsed": {
			func(c *config) { c.Graph.DefinitionSelector = []string{"a b"} },
			[]string{
				`graph.definitionSelector: "a b": accepted is a list of requirements such as key=value, key:value, key:*, ` +
					`key in (a,b), !key`,
			},
		},
		"§12 numbers of graphs out of bounds": {
			func(c *config) {
				c.Graph.MaxRevisions, c.Graph.Workers, c.Graph.DefinitionWorkers, c.Graph.Writes = -1, -2, -3, -4
				c.Graph.Collections = configv1alpha1.Collections{MaxSize: -5, MaxDimensions: -6}
			},
			[]string{
				`graph.maxRevisions: "-1": accepted is a number of at least 1`,
				`graph.workers: "-2": accepted is a number of at least 1`,
				`graph.definitionWorkers: "-3": accepted is a number of at least 1`,
				`graph.writes: "-4": accepted is a number of at least 1`,
				`graph.collections.maxSize: "-5": accepted is a number of at least 1`,
				`graph.collections.maxDimensions: "-6": accepted is a number of at least 1`,
			},
		},
		"§12 a first delay that is longer than the last": {
			func(c *config) { c.Graph.Retry.MinDelay = seconds(90) },
			[]string{`graph.retry.maxDelay: "1m0s": accepted is a duration of at least minDelay 1m30s`},
		},
		"§12 a delay that is none": {
			func(c *config) { c.Graph.Retry.MinDelay = seconds(-1) },
			[]string{`graph.retry.minDelay: "-1s": accepted is a positive duration`},
		},
		"numbers, the switch and delays of live settings": {
			func(c *config) {
				c.Live = configv1alpha1.LiveConfiguration{
					Workers: -1, StoreConcurrency: -2, Rook: "auto",
					Retry: configv1alpha1.Retry{MinDelay: seconds(0), MaxDelay: seconds(-1)},
				}
			},
			[]string{
				`live.workers: "-1": accepted is a number of at least 1`,
				`live.storeConcurrency: "-2": accepted is a number of at least 1`,
				`live.rook: "auto": accepted is on, off`,
				`live.retry.minDelay: "0s": accepted is a positive duration`,
				`live.retry.maxDelay: "-1s": accepted is a duration of at least minDelay 0s`,
			},
		},
		"no metrics at all": {func(c *config) { c.Metrics.BindAddress = "0" }, nil},
		"a port that does not exist": {
			func(c *config) { c.Pprof.Enabled, c.Pprof.BindAddress = true, ":65536" },
			[]string{`pprof.bindAddress: ":65536": accepted is host:port or :port`},
		},
		"leader election without a namespace for the lease": {
			func(c *config) { c.LeaderElection.Enabled, c.Namespace = true, "" },
			[]string{`namespace: "": accepted is the namespace of the Lease: leader election is on`},
		},
		"live settings without a namespace for their key": {
			func(c *config) { c.Namespace = "" },
			[]string{`namespace: "": accepted is the namespace of the key that digests are made with: the dialect live is on`},
		},
		"no namespace where nothing is kept in one": {
			func(c *config) { c.Namespace, c.Dialects = "", []string{"reload", "graph"} }, nil,
		},
		"lease times that do not nest": {
			func(c *config) {
				c.LeaderElection.Enabled = true
				c.LeaderElection.RenewDeadline = seconds(15)
				c.LeaderElection.RetryPeriod = seconds(13)
			},
			[]string{
				`leaderElection.renewDeadline: "15s": accepted is a duration below leaseDuration 15s`,
				`leaderElection.retryPeriod: "13s": accepted is a positive duration of which 1.2 times is below ` +
					`renewDeadline 15s`,
			},
		},
		"a log format and a level": {
			func(c *config) { c.Log = configv1alpha1.Log{Format: "xml", Level: "loud"} },
			[]string{
				`log.format: "xml": accepted is console, json`,
				`log.level: "loud": accepted is trace, debug, info, warn, error`,
			},
		},
		"§18 a strategy that does not exist": {
			func(c *config) { c.Reload.Strategy = "restart" },
			[]string{`reload.strategy: "restart": accepted is env-vars, annotations`},
		},
		"§18 both resources ignored": {
			func(c *config) { c.Reload.ResourcesToIgnore = []string{"secrets", "configmaps"} },
			[]string{`reload.resourcesToIgnore: "secrets,configmaps": accepted is one of the two: with both, nothing is left`},
		},
		"a resource that is no source": {
			func(c *config) { c.Reload.ResourcesToIgnore = []string{"pods"} },
			[]string{`reload.resourcesToIgnore[0]: "pods": accepted is configmaps, secrets`},
		},
		"a type of workload that cannot be ignored": {
			func(c *config) { c.Reload.IgnoredWorkloadTypes = []string{"jobs", "Deployments"} },
			[]string{`reload.ignoredWorkloadTypes[1]: "Deployments": accepted is jobs, cronjobs`},
		},
		"§17 selectors that cannot be parsed": {
			func(c *config) {
				c.Reload.NamespaceSelector = []string{"a b"}
				c.Reload.ResourceLabelSelector = []string{"in(a"}
			},
			[]string{
				`reload.namespaceSelector: "a b": accepted is a list of requirements such as key=value, key:value, key:*, ` +
					`key in (a,b), !key`,
				`reload.resourceLabelSelector: "in(a": accepted is a list of requirements such as key=value, key:value, ` +
					`key:*, key in (a,b), !key`,
			},
		},
		"a namespace that cannot exist": {
			func(c *config) { c.Reload.Namespaces = []string{"a", "B"} },
			[]string{`reload.namespaces[1]: "B": accepted is a namespace's name: at most 63 lower-case letters, digits and '-'`},
		},
		"switches": {
			func(c *config) { c.Reload.ArgoRollouts, c.Reload.CSI = "yes", "no" },
			[]string{
				`reload.argoRollouts: "yes": accepted is auto, on, off`,
				`reload.csi: "no": accepted is auto, on, off`,
			},
		},
		"numbers out of bounds": {
			func(c *config) {
				below := seconds(-1)
				c.Reload.MinInterval, c.Reload.Workers = &below, -2
			},
			[]string{
				`reload.minInterval: "-1s": accepted is a duration that is not negative; 0 is no limit`,
				`reload.workers: "-2": accepted is a number of at least 1`,
			},
		},
		"an annotation's key that cannot exist": {
			func(c *config) { c.Reload.Annotations.Auto = "a/b/c" },
			[]string{
				`reload.annotations.auto: "a/b/c": accepted is an annotation's key: [a DNS name/]at most 63 letters, ` +
					`digits, '-', '_' and '.'`,
			},
		},
		"an annotation's key with capitals, which the server takes": {
			func(c *config) { c.Reload.Annotations.Auto = "Example.COM/Auto" }, nil,
		},
		"a webhook's address, which is not told": {
			func(c *config) { c.Reload.Webhook.URL = "ftp://t0ken@example" },
			[]string{`reload.webhook.url: "(hidden)": accepted is an absolute URL with the scheme http or https`},
		},
		"alerts without an address, to a sink that does not exist, through no proxy": {
			func(c *config) {
				c.Reload.Alerts = configv1alpha1.Alerts{Enabled: true, Sink: "pager", Proxy: "t0ken"}
			},
			[]string{
				`reload.alerts.url: "": accepted is an absolute URL with the scheme http or https`,
				`reload.alerts.sink: "pager": accepted is slack, teams, gchat, raw`,
				`reload.alerts.proxy: "(hidden)": accepted is an absolute URL with the scheme http or https or socks5`,
			},
		},
		"alerts that are off are not looked at": {
			func(c *config) { c.Reload.Alerts.URL = ":" }, nil,
		},
		"a meta ConfigMap without a namespace": {
			func(c *config) { c.Reload.MetaInfo = configv1alpha1.MetaInfo{Enabled: true} },
			[]string{
				`reload.metaInfo.namespace: "": accepted is a namespace's name: at most 63 lower-case letters, digits and '-'`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := &config{Namespace: "ops"}
			configuration.Default(c)
			tc.change(c)

			var got []string
			for _, p := range configuration.Validate(c) {
				got = append(got, p.Error())
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
