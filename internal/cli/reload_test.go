package cli

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
)

const kubeconfigText = `apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me, namespace: of-context}}]
clusters: [{name: here, cluster: {server: "https://here.example:6443"}}]
users: [{name: me, user: {token: t0ken}}]
`

func writeFile(t *testing.T, text string, path ...string) string {
	t.Helper()

	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	return file
}

// outcome is what a verb did instead of running a manager.
type outcome struct {
	ran    bool
	config *configv1alpha1.LockstepConfiguration
	server string
	qps    float32
	log    string
	err    error
}

// invoke runs a verb with this environment. Where it says nothing of a kubeconfig, there is one.
func invoke(
	t *testing.T,
	verb func(genericiooptions.IOStreams, Runner, environment) *cobra.Command,
	env map[string]string,
	args ...string,
) outcome {
	t.Helper()

	if _, said := env["KUBECONFIG"]; !said && env["HOME"] == "" {
		merged := map[string]string{"KUBECONFIG": writeFile(t, kubeconfigText, t.TempDir(), "config")}
		maps.Copy(merged, env)

		env = merged
	}

	var (
		got    outcome
		stderr bytes.Buffer
	)

	run := func(_ context.Context, to *rest.Config, c *configv1alpha1.LockstepConfiguration, _ logr.Logger) error {
		got.ran, got.config, got.server, got.qps = true, c, to.Host, to.QPS

		return nil
	}

	cmd := verb(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &bytes.Buffer{}, ErrOut: &stderr}, run,
		func(name string) string { return env[name] })
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&bytes.Buffer{})
	cmd.SetErr(&bytes.Buffer{})
	cmd.SetArgs(args)
	got.err = cmd.ExecuteContext(t.Context())
	got.log = stderr.String()

	return got
}

// dropIn is the configuration of the verb reload where nothing is said.
func dropIn() *configv1alpha1.LockstepConfiguration {
	c := &configv1alpha1.LockstepConfiguration{
		Dialects:  []string{"reload"},
		Namespace: "of-context",
		Pprof:     configv1alpha1.Pprof{BindAddress: ":6060"},
		Reload:    configv1alpha1.ReloadConfiguration{ArgoRollouts: "off", CSI: "off"},
	}
	configuration.Default(c)
	c.Reload.MetaInfo.Namespace = "of-context"

	return c
}

func TestReload_Section18FlagsBecomeAConfiguration(t *testing.T) {
	t.Parallel()

	type config = configv1alpha1.LockstepConfiguration

	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want func(*config)
	}{
		"nothing said": {want: func(*config) {}},
		"§18 switches, spelled as they are": {
			args: []string{
				"--auto-reload-all", "--is-Argo-Rollouts=true", "--reload-on-create=true", "--reload-on-delete", "true",
				"--sync-after-restart", "--enable-csi-integration", "--enable-pprof", "--pprof-addr=:7070",
				"--reload-strategy=annotations",
			},
			want: func(c *config) {
				c.Reload.AutoReloadAll, c.Reload.SyncAfterRestart = true, true
				c.Reload.ArgoRollouts, c.Reload.CSI = "on", "on"
				c.Reload.ReloadOnCreate, c.Reload.ReloadOnDelete = true, true
				c.Pprof = configv1alpha1.Pprof{Enabled: true, BindAddress: ":7070"}
				c.Reload.Strategy = "annotations"
			},
		},
		"§17 scope, with the quotes that charts pass": {
			args: []string{
				"--namespaces=a,b", "--namespaces=c", "--namespaces-to-ignore=kube-system",
				`--namespace-selector="env=prod","team:*"`, `--resource-label-selector="tier in (x,y)"`,
				"--resources-to-ignore=ConfigMaps", "--ignored-workload-types=jobs,cronjobs",
			},
			want: func(c *config) {
				c.Reload.Namespaces = []string{"a", "b", "c"}
				c.Reload.NamespacesToIgnore = []string{"kube-system"}
				c.Reload.NamespaceSelector = []string{"env=prod", "team:*"}
				c.Reload.ResourceLabelSelector = []string{"tier in (x,y)"}
				c.Reload.ResourcesToIgnore = []string{"configmaps"}
				c.Reload.IgnoredWorkloadTypes = []string{"jobs", "cronjobs"}
			},
		},
		"§17 the namespace of the environment": {
			env:  map[string]string{"KUBERNETES_NAMESPACE": "one"},
			want: func(c *config) { c.Reload.Namespaces = []string{"one"} },
		},
		"§17 the flag wins over the namespace of the environment": {
			args: []string{"--namespaces=a"},
			env:  map[string]string{"KUBERNETES_NAMESPACE": "one"},
			want: func(c *config) { c.Reload.Namespaces = []string{"a"} },
		},
		"§1 renamed annotations": {
			args: []string{
				"--configmap-annotation=x/1", "--secret-annotation=x/2", "--auto-annotation=x/3", "--ignore-annotation=x/4",
				"--configmap-auto-annotation=x/5", "--secret-auto-annotation=x/6", "--auto-search-annotation=x/7",
				"--search-match-annotation=x/8", "--pause-deployment-annotation=x/9",
				"--pause-deployment-time-annotation=x/10",
			},
			want: func(c *config) {
				c.Reload.Annotations = configv1alpha1.ReloadAnnotations{
					ConfigMap: "x/1", Secret: "x/2", Auto: "x/3", Ignore: "x/4", ConfigMapAuto: "x/5", SecretAuto: "x/6",
					AutoSearch: "x/7", SearchMatch: "x/8", PauseDeployment: "x/9", PauseDeploymentTime: "x/10",
				}
			},
		},
		"§16 high availability": {
			args: []string{"--enable-ha"},
			env:  map[string]string{"POD_NAME": "reloader-0", "POD_NAMESPACE": "ops"},
			want: func(c *config) {
				c.Namespace = "ops"
				c.Reload.MetaInfo.Namespace = "ops"
				c.LeaderElection = configv1alpha1.LeaderElection{
					Enabled: true, LeaseName: "stakater-reloader-lock", Identity: "reloader-0",
					LeaseDuration: metav1.Duration{Duration: 15 * time.Second},
					RenewDeadline: metav1.Duration{Duration: 10 * time.Second},
					RetryPeriod:   metav1.Duration{Duration: 2 * time.Second},
				}
			},
		},
		"§16 the meta ConfigMap": {
			env: map[string]string{"RELOADER_NAMESPACE": "ops", "RELOADER_DEPLOYMENT_NAME": "reloader"},
			want: func(c *config) {
				c.Namespace = "ops"
				c.Reload.MetaInfo = configv1alpha1.MetaInfo{Enabled: true, Namespace: "ops", DeploymentName: "reloader"}
			},
		},
		"§15 counting by namespace": {
			env:  map[string]string{"METRICS_COUNT_BY_NAMESPACE": "enabled"},
			want: func(c *config) { c.Metrics.CountByNamespace = true },
		},
		"§15 counting by namespace wants its own word": {
			env:  map[string]string{"METRICS_COUNT_BY_NAMESPACE": "true"},
			want: func(*config) {},
		},
		"§14 alerts": {
			env: map[string]string{
				"ALERT_ON_RELOAD": "true", "ALERT_WEBHOOK_URL": "https://hooks.example/x", "ALERT_SINK": " Slack ",
				"ALERT_WEBHOOK_PROXY": "http://proxy.example:3128", "ALERT_ADDITIONAL_INFO": "eu",
			},
			want: func(c *config) {
				c.Reload.Alerts = configv1alpha1.Alerts{
					Enabled: true, URL: "https://hooks.example/x", Sink: "slack", Proxy: "http://proxy.example:3128",
					AdditionalInfo: "eu",
				}
			},
		},
		"§14 any other sink is raw": {
			env: map[string]string{"ALERT_ON_RELOAD": "true", "ALERT_WEBHOOK_URL": "https://x.example", "ALERT_SINK": "pager"},
			want: func(c *config) {
				c.Reload.Alerts = configv1alpha1.Alerts{Enabled: true, URL: "https://x.example", Sink: "raw"}
			},
		},
		"§14 alerts want the literal true": {
			env:  map[string]string{"ALERT_ON_RELOAD": "1", "ALERT_WEBHOOK_URL": "https://x.example"},
			want: func(*config) {},
		},
		"§13 the webhook": {
			args: []string{"--webhook-url=https://hooks.example/x"},
			want: func(c *config) { c.Reload.Webhook.URL = "https://hooks.example/x" },
		},
		"§18 the log": {
			args: []string{"--log-format=json", "--log-level=Warning"},
			want: func(c *config) { c.Log = configv1alpha1.Log{Format: "json", Level: "warn"} },
		},
		"another port for the metrics": {
			args: []string{"--metrics-bind-address=127.0.0.1:0"},
			want: func(c *config) { c.Metrics.BindAddress = "127.0.0.1:0" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := invoke(t, reloadCommand, tc.env, tc.args...)
			if got.err != nil {
				t.Fatal(got.err)
			}

			want := dropIn()
			tc.want(want)

			if diff := cmp.Diff(want, got.config); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReload_GoesOnWithAWarning(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want []string
		is   func(*configv1alpha1.LockstepConfiguration) bool
	}{
		"§18 a log format that does not exist": {
			args: []string{"--log-format=xml", "--log-level=debug"},
			want: []string{"the log format is unknown", `"value": "xml"`},
			is: func(c *configv1alpha1.LockstepConfiguration) bool {
				return c.Log.Format == configv1alpha1.LogConsole && c.Log.Level == configv1alpha1.LogInfo
			},
		},
		"§18 a log level that does not exist": {
			args: []string{"--log-level=loud"},
			want: []string{"the log level is unknown", `"value": "loud"`},
			is: func(c *configv1alpha1.LockstepConfiguration) bool {
				return c.Log.Level == configv1alpha1.LogInfo
			},
		},
		"§8 only the literal true is yes": {
			args: []string{"--reload-on-create=True"},
			want: []string{"only the literal true means yes", "--reload-on-create", `"value": "True"`},
			is:   func(c *configv1alpha1.LockstepConfiguration) bool { return !c.Reload.ReloadOnCreate },
		},
		"§3 a type of workload that cannot be ignored costs the others nothing": {
			args: []string{"--ignored-workload-types=deployments,jobs"},
			want: []string{"an entry has no effect", `"value": "deployments"`, "jobs, cronjobs"},
			is: func(c *configv1alpha1.LockstepConfiguration) bool {
				return slices.Equal(c.Reload.IgnoredWorkloadTypes, []string{"jobs"})
			},
		},
		"§14 alerts without an address": {
			env:  map[string]string{"ALERT_ON_RELOAD": "true"},
			want: []string{"no alerts are sent"},
			is:   func(c *configv1alpha1.LockstepConfiguration) bool { return !c.Reload.Alerts.Enabled },
		},
		"§14 alerts through what is no proxy": {
			env: map[string]string{
				"ALERT_ON_RELOAD": "true", "ALERT_WEBHOOK_URL": "https://x.example/t0ken", "ALERT_WEBHOOK_PROXY": "t0ken",
			},
			want: []string{"no alerts are sent"},
			is:   func(c *configv1alpha1.LockstepConfiguration) bool { return !c.Reload.Alerts.Enabled },
		},
		"§16 no namespace for the meta ConfigMap": {
			want: []string{"RELOADER_NAMESPACE is not set"},
			is:   func(c *configv1alpha1.LockstepConfiguration) bool { return !c.Reload.MetaInfo.Enabled },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := invoke(t, reloadCommand, tc.env, tc.args...)
			if got.err != nil {
				t.Fatal(got.err)
			}

			for _, want := range tc.want {
				if !strings.Contains(got.log, want) {
					t.Errorf("%q is missing in the log:\n%s", want, got.log)
				}
			}

			if strings.Contains(got.log, "t0ken") {
				t.Errorf("the log holds a token:\n%s", got.log)
			}

			if !tc.is(got.config) {
				t.Errorf("not the configuration that the warning speaks of: %+v", got.config)
			}
		})
	}
}

func TestReload_Section18RefusesInWords(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"high availability without a name": {
			[]string{"--enable-ha"},
			nil,
			"--enable-ha: the environment variable POD_NAME is not set\n" +
				"--enable-ha: the environment variable POD_NAMESPACE is not set",
		},
		"both resources ignored": {
			[]string{"--resources-to-ignore=configMaps,secrets"},
			nil,
			`--resources-to-ignore: "configmaps,secrets": accepted is one of the two: with both, nothing is left`,
		},
		"a strategy that does not exist": {
			[]string{"--reload-strategy=restart"},
			nil,
			`--reload-strategy: "restart": accepted is env-vars, annotations`,
		},
		"a selector that cannot be parsed": {
			[]string{"--namespace-selector=a b"},
			nil,
			`--namespace-selector: "a b": accepted is a list of requirements such as key=value, key:value, key:*, ` +
				"key in (a,b), !key",
		},
		"everything that is wrong at once, the missing cluster too": {
			[]string{"--reload-strategy=x", "--namespaces=A"},
			map[string]string{"KUBECONFIG": ""},
			"--reload-strategy: \"x\": accepted is env-vars, annotations\n" +
				"--namespaces: \"A\": accepted is a namespace's name: at most 63 lower-case letters, digits and '-'\n" +
				"no cluster: neither $KUBECONFIG nor ~/.kube/config leads to one, and this process does not run in a pod",
		},
		"another spelling of a flag": {
			[]string{"--is-argo-rollouts=true"},
			nil,
			"unknown flag: --is-argo-rollouts",
		},
		"a string flag without its value": {
			[]string{"--reload-on-create"},
			nil,
			"flag needs an argument: --reload-on-create",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := invoke(t, reloadCommand, tc.env, tc.args...)
			if got.err == nil || got.ran {
				t.Fatalf("ran: %v, error: %v, want an error alone", got.ran, got.err)
			}

			if diff := cmp.Diff(tc.want, got.err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReload_Section18All29FlagsWithTypesAndDefaults(t *testing.T) {
	t.Parallel()

	cmd := reloadCommand(genericiooptions.NewTestIOStreamsDiscard(), nil, os.Getenv)

	var got []string

	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			got = append(got, f.Name+" "+f.Value.Type()+" "+f.DefValue)
		}
	})

	want := []string{
		"auto-annotation string reloader.stakater.com/auto",
		"auto-reload-all bool false",
		"auto-search-annotation string reloader.stakater.com/search",
		"configmap-annotation string configmap.reloader.stakater.com/reload",
		"configmap-auto-annotation string configmap.reloader.stakater.com/auto",
		"enable-csi-integration bool false",
		"enable-ha bool false",
		"enable-pprof bool false",
		"ignore-annotation string reloader.stakater.com/ignore",
		"ignored-workload-types stringSlice []",
		"is-Argo-Rollouts string false",
		"log-format string ",
		"log-level string info",
		"namespace-selector stringSlice []",
		"namespaces stringSlice []",
		"namespaces-to-ignore stringSlice []",
		"pause-deployment-annotation string deployment.reloader.stakater.com/pause-period",
		"pause-deployment-time-annotation string deployment.reloader.stakater.com/paused-at",
		"pprof-addr string :6060",
		"reload-on-create string false",
		"reload-on-delete string false",
		"reload-strategy string env-vars",
		"resource-label-selector stringSlice []",
		"resources-to-ignore stringSlice []",
		"search-match-annotation string reloader.stakater.com/match",
		"secret-annotation string secret.reloader.stakater.com/reload",
		"secret-auto-annotation string secret.reloader.stakater.com/auto",
		"sync-after-restart bool false",
		"webhook-url string ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

func TestReload_Section18HelpNeedsNoCluster(t *testing.T) {
	t.Parallel()

	if got := invoke(t, reloadCommand, map[string]string{"KUBECONFIG": "/nowhere"}, "--help"); got.err != nil || got.ran {
		t.Errorf("ran: %v, error: %v, want neither", got.ran, got.err)
	}
}

func TestConnect_Section18FindsTheCluster(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	named := writeFile(t, strings.ReplaceAll(kubeconfigText, "here.example", "named.example"), dir, "named")
	given := writeFile(t, strings.ReplaceAll(kubeconfigText, "here.example", "given.example"), dir, "given")
	writeFile(t, strings.ReplaceAll(kubeconfigText, "here.example", "home.example"), dir, ".kube", "config")

	for name, tc := range map[string]struct {
		given  string
		env    map[string]string
		server string
		fails  string
	}{
		"that of the flag first": {
			given: given, env: map[string]string{"KUBECONFIG": named, "HOME": dir}, server: "https://given.example:6443",
		},
		"then that of $KUBECONFIG": {
			env: map[string]string{"KUBECONFIG": named, "HOME": dir}, server: "https://named.example:6443",
		},
		"$KUBECONFIG may be several files, the first wins": {
			env: map[string]string{"KUBECONFIG": given + ":" + named}, server: "https://given.example:6443",
		},
		"then that of the home directory": {
			env: map[string]string{"HOME": dir}, server: "https://home.example:6443",
		},
		"a home directory without one is no error in itself": {
			env: map[string]string{"HOME": filepath.Join(dir, "empty")}, fails: "no cluster",
		},
		"a file that is named must be there": {
			env: map[string]string{"KUBECONFIG": filepath.Join(dir, "none"), "HOME": dir}, fails: "no such file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := connect(tc.given, func(name string) string { return tc.env[name] })
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("got error %v, want one with %q", err, tc.fails)
				}

				return
			}

			if err != nil {
				t.Fatal(err)
			}

			if got.config.Host != tc.server || got.namespace != "of-context" || got.config.QPS >= 0 {
				t.Errorf("got %s, namespace %s, %v queries a second; want %s, of-context and no limit",
					got.config.Host, got.namespace, got.config.QPS, tc.server)
			}
		})
	}
}
