package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// stockFlags are all of §18.
const stockFlags = `auto-reload-all configmap-annotation secret-annotation auto-annotation ignore-annotation
	configmap-auto-annotation secret-auto-annotation auto-search-annotation search-match-annotation
	pause-deployment-annotation pause-deployment-time-annotation log-format log-level webhook-url resources-to-ignore
	ignored-workload-types namespaces namespaces-to-ignore namespace-selector resource-label-selector is-Argo-Rollouts
	reload-strategy reload-on-create reload-on-delete enable-ha sync-after-restart enable-pprof pprof-addr
	enable-csi-integration`

func TestSection18HelpNamesEveryFlagWithoutACluster(t *testing.T) {
	t.Parallel()

	p := start(t, nil, "reload", "--help")
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	for flag := range strings.FieldsSeq(stockFlags) {
		if !strings.Contains(p.out.String(), "--"+flag+" ") {
			t.Errorf("the help does not name --%s", flag)
		}
	}
}

func TestSection18WhatCannotBeUsedEndsTheProcess(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	env := w.environment()

	for name, c := range map[string]struct {
		env, args []string
		want      string
	}{
		"§18 a strategy that there is not":          {args: []string{"--reload-strategy=restart"}, want: "--reload-strategy"},
		"§18 both kinds of source ignored":          {args: []string{"--resources-to-ignore=configmaps,secrets"}, want: "--resources-to-ignore"},
		"§18 a kind of source that there is not":    {args: []string{"--resources-to-ignore=pods"}, want: "--resources-to-ignore"},
		"§18 the README's spelling of a flag":       {args: []string{"--is-argo-rollouts=true"}, want: "is-argo-rollouts"},
		"§18 a flag without its value":              {args: []string{"--reload-on-create"}, want: "reload-on-create"},
		"§17 a namespace selector that is none":     {args: []string{"--namespace-selector=a in b"}, want: "--namespace-selector"},
		"§17 a label selector that is none":         {args: []string{"--resource-label-selector=a=b=c"}, want: "--resource-label-selector"},
		"§16 high availability without its names":   {args: []string{"--enable-ha"}, want: "POD_NAME"},
		"§16 high availability without a namespace": {env: []string{"POD_NAME=a"}, args: []string{"--enable-ha"}, want: "POD_NAMESPACE"},
		"§18 an argument":                           {args: []string{"please"}, want: "please"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p := start(t, append(c.env, env...), append([]string{"reload", "--metrics-bind-address=0"}, c.args...)...)
			if code := p.exit(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}

			if !strings.Contains(p.out.String(), c.want) {
				t.Errorf("the output does not name %q", c.want)
			}
		})
	}

	t.Cleanup(func() {
		if got := w.proxy.Requests(); len(got) > 0 {
			t.Errorf("the server was asked %d times, want an error before that", len(got))
		}
	})
}

func TestSection18WithoutAClusterTheProcessSaysWhereItLooked(t *testing.T) {
	t.Parallel()

	p := start(t, []string{"HOME=" + t.TempDir()}, "reload", "--metrics-bind-address=0")
	if code := p.exit(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}

	p.logged("$KUBECONFIG", "~/.kube/config")
}

func TestSection18FlagsThatMeanLessThanTheySayAreWarnedOf(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	p := w.reload(
		"--ignored-workload-types=Jobs,cronjobs", "--reload-on-create=True", "--is-Argo-Rollouts=yes", "--log-format=xml",
	)

	for _, texts := range [][]string{
		{"--ignored-workload-types", "Jobs"},
		{"--reload-on-create", "True"},
		{"--is-Argo-Rollouts", "yes"},
		{"--log-format", "xml"},
		{"RELOADER_NAMESPACE"},
	} {
		p.logged(texts...)
	}

	p.listed()
	p.settle()
}

func TestSection16ProfilesAreServedWhereAskedFor(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	address := port(t)
	p := w.reload("--enable-pprof", "--pprof-addr="+address, "--metrics-bind-address="+port(t))
	p.listed()
	eventually(t, "an answer of the server of profiles", func() bool {
		status, _, err := get("http://" + address + "/debug/pprof/cmdline")

		return err == nil && status == http.StatusOK
	})

	if status, _ := p.get("/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("the port of the metrics answers %d for /debug/pprof/, want 404", status)
	}

	p.settle()
}
