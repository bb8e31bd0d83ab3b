package cli

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lockstep-dev/lockstep/internal/install"
)

func TestInstallPrintsManifestsWithoutACluster(t *testing.T) {
	t.Parallel()

	streams, _, out, _ := genericiooptions.NewTestIOStreams()
	cmd := newInstall(streams)
	cmd.SetArgs([]string{"--output=yaml", "--image=registry.example/lockstep:v1", "--namespace=ops", "--kubeconfig=/nowhere"})

	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}

	for _, want := range []string{"kind: ClusterRole\n", "namespace: ops\n", "image: registry.example/lockstep:v1\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestInstall_Section13ServesEveryDialectUnlessOneIsNamed(t *testing.T) {
	t.Parallel()

	const (
		definition   = "name: resourcegraphdefinitions.kro.run\n"
		aggregated   = "name: lockstep-graph-aggregated\n"
		unrestricted = "name: lockstep-graph-unrestricted\n"
		reload       = "name: lockstep-reload\n"
	)

	for name, tc := range map[string]struct {
		args      []string
		want, not []string
	}{
		"all of them": {nil, []string{reload, definition, aggregated, "--dialects=reload,graph,live\n"}, []string{unrestricted}},
		"the dialect reload alone, as before there was another": {
			[]string{"--dialects=reload"}, []string{reload, "--dialects=reload\n"}, []string{definition, "lockstep-graph"},
		},
		"the dialect graph alone": {
			[]string{"--dialects=graph"}, []string{definition, aggregated}, []string{reload, unrestricted},
		},
		"the dialect live alone": {
			[]string{"--dialects=live"},
			[]string{"name: liveconfigs.lockstep.dev\n", "name: lockstep-live\n"},
			[]string{reload, definition, "lockstep-live-rook", "--live-rook"},
		},
		"Rook's objects where they are asked for": {
			[]string{"--live-rook=on"}, []string{"name: lockstep-live-rook\n", "- --live-rook=on\n"}, nil,
		},
		"every right where it is asked for": {
			[]string{"--graph-rbac", "unrestricted"}, []string{definition, unrestricted}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			streams, _, out, _ := genericiooptions.NewTestIOStreams()
			cmd := newInstall(streams)
			cmd.SetArgs(append([]string{"--output=yaml", "--image=registry.example/lockstep:v1"}, tc.args...))

			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}

			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing", want)
				}
			}

			for _, not := range tc.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("%q is there", not)
				}
			}
		})
	}
}

func TestInstallAndUninstallRefuseWhatTheyCannotDo(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		verb string
		args []string
		want string
	}{
		"an unknown dialect, naming those that there are": {
			"install", []string{"--dialects=reload,kafka"}, `unknown dialect "kafka": accepted are graph, live, reload`,
		},
		"rights that do not exist": {
			"install", []string{"--graph-rbac=none"}, `--graph-rbac "none" is not known: accepted are aggregation, unrestricted`,
		},
		"a switch that does not exist": {
			"install", []string{"--live-rook=auto"}, `--live-rook "auto" is not known: accepted are off, on`,
		},
		"an output format that does not exist": {
			"install", []string{"--output=json"}, `--output "json" is not known: accepted is yaml`,
		},
		"a kubeconfig that is not there": {
			"install", []string{"--kubeconfig=/nowhere/config"}, "/nowhere/config",
		},
		"a context that is not there": {
			"uninstall", []string{"--kubeconfig=/dev/null", "--context=staging"}, "staging",
		},
		"a word that means nothing to it": {
			"uninstall", []string{"everything"}, "everything",
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			streams, _, out, _ := genericiooptions.NewTestIOStreams()
			cmd := newInstall(streams)

			if c.verb == "uninstall" {
				cmd = newUninstall(streams)
			}

			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			cmd.SetArgs(c.args)

			err := cmd.ExecuteContext(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}

			if out.Len() > 0 {
				t.Errorf("printed %q all the same", out)
			}
		})
	}
}

func TestAResultIsOneLine(t *testing.T) {
	t.Parallel()

	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName("ops")

	cases := map[string]struct {
		result install.Result
		dryRun bool
		want   string
	}{
		"the outcome alone": {install.Result{Object: namespace, Outcome: install.Created}, false, "namespace/ops created\n"},
		"with its reason": {
			install.Result{Object: namespace, Outcome: install.Kept, Note: "it holds secret/db"},
			false,
			"namespace/ops kept: it holds secret/db\n",
		},
		"in a dry run": {
			install.Result{Object: namespace, Outcome: install.Created}, true, "namespace/ops created (dry run)\n",
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var out bytes.Buffer

			printResult(&out, c.result, c.dryRun)

			if diff := cmp.Diff(c.want, out.String()); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVersionTellsWhatTheBuildTells(t *testing.T) {
	t.Parallel()

	platform := runtime.GOOS + "/" + runtime.GOARCH
	cases := map[string]struct {
		info debug.BuildInfo
		want string
	}{
		"a release": {
			debug.BuildInfo{GoVersion: "go1.26.1", Main: debug.Module{Version: "v1.2.3"}},
			"lockstep v1.2.3 go1.26.1 " + platform,
		},
		"a build of a changed work tree": {
			debug.BuildInfo{GoVersion: "go1.26.1", Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
			}},
			"lockstep unreleased commit abc (modified) go1.26.1 " + platform,
		},
		"a build of a clean commit": {
			debug.BuildInfo{GoVersion: "go1.26.1", Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"},
			}},
			"lockstep unreleased commit abc go1.26.1 " + platform,
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(c.want, version(&c.info)); diff != "" {
				t.Errorf("version (-want +got):\n%s", diff)
			}
		})
	}
}
