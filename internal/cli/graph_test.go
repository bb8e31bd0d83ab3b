package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// graphRun runs a verb of graph in the folder of the test data and returns what it wrote, its error last.
func graphRun(t *testing.T, stdin string, args ...string) string {
	t.Helper()

	streams, in, out, errOut := genericiooptions.NewTestIOStreams()
	in.WriteString(stdin)

	cmd := newGraph(streams)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)

	err := cmd.ExecuteContext(t.Context())
	text := out.String() + errOut.String()

	if err != nil {
		text += "error: " + err.Error() + "\n"
	}

	return strings.ReplaceAll(text, graphData(""), "")
}

// graphData is the path of a file of the test data.
func graphData(name string) string {
	return "testdata/graph/" + name
}

func TestGraphVerbsOffline(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		golden string
		args   []string
	}{
		"§3 validate tells every problem with its place": {
			"wrong.golden", []string{"validate", "-f", graphData("wrong.yaml")},
		},
		"validate tells warnings and succeeds": {
			"warned.golden", []string{"validate", "-f", graphData("warned.yaml")},
		},
		"validate lets definitions of one file use each other's kinds, and CustomResourceDefinitions": {
			"nested.golden", []string{"validate", "-f", graphData("nested.yaml"), "--crds", graphData("crds")},
		},
		"validate misses a kind that nobody defines": {
			"missing.golden", []string{"validate", "-f", graphData("nested.yaml")},
		},
		"render shows what can be known without a cluster": {
			"render.golden", []string{"render", "-f", graphData("webapp.yaml"), "-i", graphData("instance-webapp.yaml")},
		},
		"render goes on with what is given": {
			"render-with.golden",
			[]string{"render", "-f", graphData("webapp.yaml"), "-i", graphData("instance-webapp.yaml"), "--with", graphData("with.yaml")},
		},
		"render refuses an instance that the server would refuse": {
			"render-wrong.golden", []string{"render", "-f", graphData("webapp.yaml"), "-i", graphData("instance-wrong.yaml")},
		},
		"diagram as text":               {"diagram.txt.golden", []string{"diagram", "-f", graphData("webapp.yaml")}},
		"diagram as DOT":                {"diagram.dot.golden", []string{"diagram", "-f", graphData("layers.yaml"), "-o", "dot"}},
		"diagram as SVG, long edges":    {"diagram.svg.golden", []string{"diagram", "-f", graphData("layers.yaml"), "-o", "svg"}},
		"§13 rbac for the manager":      {"rbac.golden", []string{"rbac", "-f", graphData("webapp.yaml"), "--name", "web"}},
		"§13 rbac for a ServiceAccount": {"rbac-account.golden", []string{"rbac", "-f", graphData("nested.yaml"), "--crds", graphData("crds")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			goldenText(t, tc.golden, graphRun(t, "", tc.args...))
		})
	}
}

// goldenText compares a text with a file of the test data, or writes it there with UPDATE_GOLDEN=1.
func goldenText(t *testing.T, name, got string) {
	t.Helper()

	file := filepath.FromSlash(graphData(name))

	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestGraphReadsTheStandardInput(t *testing.T) {
	t.Parallel()

	content, err := os.ReadFile(graphData("warned.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	want := strings.ReplaceAll(graphRun(t, "", "validate", "-f", graphData("warned.yaml")), "warned.yaml", "stdin")
	if diff := cmp.Diff(want, graphRun(t, string(content), "validate", "-f", "-")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestGraphRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no file":                     {[]string{"validate"}, "use --filename (-f)"},
		"a file that is not there":    {[]string{"validate", "-f", "nowhere.yaml"}, "nowhere.yaml: no such file"},
		"a file without definitions":  {[]string{"validate", "-f", graphData("with.yaml")}, "no ResourceGraphDefinition of kro.run/v1alpha1 in with.yaml"},
		"no instance":                 {[]string{"render", "-f", graphData("webapp.yaml")}, "use --instance (-i)"},
		"another kind's instance":     {[]string{"render", "-f", graphData("webapp.yaml"), "-i", graphData("with.yaml")}, "no instance of WebApp in kro.run/v1alpha1"},
		"one of several definitions":  {[]string{"diagram", "-f", graphData("nested.yaml"), "--crds", graphData("crds")}, "choose with --name one of cluster, network"},
		"a definition that is absent": {[]string{"diagram", "-f", graphData("webapp.yaml"), "--name", "x"}, `--name "x": the files have web-app`},
		"an unknown output":           {[]string{"diagram", "-f", graphData("webapp.yaml"), "-o", "png"}, "accepted are svg, dot and text"},
		"a cluster that is not there": {
			[]string{"explain", "webapp/shop", "--kubeconfig", graphData("nowhere.kubeconfig")}, "connection refused",
		},
		"explain without a name": {[]string{"explain", "webapp"}, "accepted are KIND NAME and KIND/NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := graphRun(t, "", tc.args...); !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want it to say %q", got, tc.want)
			}
		})
	}
}

func TestUnifiedShowsChangesWithWhatIsAround(t *testing.T) {
	t.Parallel()

	lines := func(text string) string { return strings.ReplaceAll(text, " ", "\n") + "\n" }

	for name, tc := range map[string]struct{ before, after, want string }{
		"nothing when both are the same": {lines("a b"), lines("a b"), ""},
		"all of what is new":             {"", lines("a b"), "@@ -1,0 +1,2 @@\n+a\n+b\n"},
		"all of what goes":               {lines("a"), "", "@@ -1,1 +1,0 @@\n-a\n"},
		"a line in the middle": {
			lines("1 2 3 4 5 6 7 8 9"), lines("1 2 3 4 x 6 7 8 9"), "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n",
		},
		"two places far apart": {
			lines("a 1 2 3 4 5 6 7 8 b"), lines("A 1 2 3 4 5 6 7 8 B"),
			"@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -7,4 +7,4 @@\n 6\n 7\n 8\n-b\n+B\n",
		},
		"lines that move": {lines("a b c"), lines("c a b"), "@@ -1,3 +1,3 @@\n+c\n a\n b\n-c\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(tc.want, unified(tc.before, tc.after)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
