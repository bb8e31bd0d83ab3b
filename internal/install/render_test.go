package install_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/install"
)

func TestRenderListsWhatAnInstallationConsistsOf(t *testing.T) {
	t.Parallel()

	rights := []string{
		"namespace/NS",
		"rolebinding.rbac.authorization.k8s.io/lockstep in NS",
		"role.rbac.authorization.k8s.io/lockstep in NS",
		"serviceaccount/lockstep in NS",
		"clusterrolebinding.rbac.authorization.k8s.io/lockstep-reload",
		"clusterrole.rbac.authorization.k8s.io/lockstep-reload",
	}

	crds := []string{
		"customresourcedefinition.apiextensions.k8s.io/graphrevisions.internal.kro.run",
		"customresourcedefinition.apiextensions.k8s.io/resourcegraphdefinitions.kro.run",
	}
	graph := []string{
		"clusterrole.rbac.authorization.k8s.io/lockstep-graph-aggregated",
		"clusterrolebinding.rbac.authorization.k8s.io/lockstep-graph-aggregated",
		"clusterrolebinding.rbac.authorization.k8s.io/lockstep-graph",
		"clusterrole.rbac.authorization.k8s.io/lockstep-graph-edit",
		"clusterrole.rbac.authorization.k8s.io/lockstep-graph-view",
		"clusterrole.rbac.authorization.k8s.io/lockstep-graph",
	}
	unrestricted := []string{
		"clusterrolebinding.rbac.authorization.k8s.io/lockstep-graph-unrestricted",
		"clusterrole.rbac.authorization.k8s.io/lockstep-graph-unrestricted",
	}
	live := []string{
		"clusterrolebinding.rbac.authorization.k8s.io/lockstep-live",
		"clusterrole.rbac.authorization.k8s.io/lockstep-live-edit",
		"clusterrole.rbac.authorization.k8s.io/lockstep-live-view",
		"clusterrole.rbac.authorization.k8s.io/lockstep-live",
		"rolebinding.rbac.authorization.k8s.io/lockstep-live in NS",
		"role.rbac.authorization.k8s.io/lockstep-live in NS",
	}
	liveDefinitions := []string{
		"customresourcedefinition.apiextensions.k8s.io/liveconfigs.lockstep.dev",
		"customresourcedefinition.apiextensions.k8s.io/livestores.lockstep.dev",
	}
	rook := []string{
		"clusterrolebinding.rbac.authorization.k8s.io/lockstep-live-rook",
		"clusterrole.rbac.authorization.k8s.io/lockstep-live-rook",
	}
	manager := []string{"deployment.apps/lockstep in NS"}

	cases := map[string]struct {
		options install.Options
		want    []string
	}{
		"§13 definitions come before everything that is not a namespace": {
			options: install.Options{Dialects: []string{"reload", "graph"}, Image: "registry.example/lockstep:v1"},
			want:    replace(slices.Concat(rights[:1], crds, rights[1:], graph, manager), "NS", "lockstep-system"),
		},
		"§13 every right comes besides where it is asked for": {
			options: install.Options{Dialects: []string{"graph"}, Unrestricted: true},
			want:    replace(slices.Concat(rights[:1], crds, rights[1:4], graph, unrestricted), "NS", "lockstep-system"),
		},
		"what a dialect keeps beside the manager is in the manager's namespace": {
			options: install.Options{Dialects: []string{"live"}, Namespace: "ops"},
			want:    replace(slices.Concat(rights[:1], liveDefinitions, rights[1:4], live), "NS", "ops"),
		},
		"the rights that Rook's objects need come besides where they are asked for": {
			options: install.Options{Dialects: []string{"live"}, Rook: true},
			want:    replace(slices.Concat(rights[:1], liveDefinitions, rights[1:4], live, rook), "NS", "lockstep-system"),
		},
		"a dialect that has no objects of any kind has no rights on them": {
			options: install.Options{Dialects: []string{"reload"}, Unrestricted: true, Rook: true},
			want:    replace(rights, "NS", "lockstep-system"),
		},
		"without an image the manager is left out": {
			options: install.Options{Dialects: []string{"reload"}},
			want:    replace(rights, "NS", "lockstep-system"),
		},
		"with an image the manager comes last": {
			options: install.Options{Dialects: []string{"reload"}, Image: "registry.example/lockstep:v1"},
			want:    append(replace(rights, "NS", "lockstep-system"), "deployment.apps/lockstep in lockstep-system"),
		},
		"another namespace replaces the default everywhere": {
			options: install.Options{Dialects: []string{"reload"}, Namespace: "ops"},
			want:    replace(rights, "NS", "ops"),
		},
		"a dialect given twice counts once": {
			options: install.Options{Dialects: []string{"reload", "reload"}},
			want:    replace(rights, "NS", "lockstep-system"),
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			objects, err := install.Render(config.Files, c.options)
			if err != nil {
				t.Fatal(err)
			}

			var got []string

			for _, obj := range objects {
				line := install.Name(obj)
				if ns := obj.GetNamespace(); ns != "" {
					line += " in " + ns
				}

				got = append(got, line)

				if label := obj.GetLabels()["app.kubernetes.io/managed-by"]; label != "lockstep-install" {
					t.Errorf("%s: label managed-by is %q", line, label)
				}
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRenderRefusesWhatItCannotInstall(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		options install.Options
		want    string
	}{
		"an unknown dialect, naming those that there are": {
			options: install.Options{Dialects: []string{"reload", "grpah"}},
			want:    `unknown dialect "grpah": accepted are graph, live, reload`,
		},
		"no dialect at all": {
			want: "no dialect is given: accepted are graph, live, reload",
		},
		"a namespace that cannot exist": {
			options: install.Options{Dialects: []string{"reload"}, Namespace: "Ops!"},
			want:    `namespace "Ops!" cannot be used`,
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			objects, err := install.Render(config.Files, c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d objects and error %v, want an error with %q", len(objects), err, c.want)
			}
		})
	}
}

func TestRenderNamesTheFileThatItCannotRead(t *testing.T) {
	t.Parallel()

	files := fstest.MapFS{
		"manager/broken.yaml":    {Data: []byte("kind: [")},
		"dialects/one/role.yaml": {Data: []byte("# nothing yet\n")},
	}

	_, err := install.Render(files, install.Options{Dialects: []string{"one"}})
	if err == nil || !strings.Contains(err.Error(), "manager/broken.yaml") {
		t.Errorf("got error %v, want one that names manager/broken.yaml", err)
	}
}

func TestRenderMakesTheManagerOfThisInstallation(t *testing.T) {
	t.Parallel()

	objects, err := install.Render(config.Files, install.Options{
		Dialects: []string{"reload"}, Namespace: "ops", Image: "registry.example/lockstep:v1",
	})
	if err != nil {
		t.Fatal(err)
	}

	var text strings.Builder
	if err := install.Write(&text, objects); err != nil {
		t.Fatal(err)
	}

	if strings.Contains(text.String(), install.DefaultNamespace) {
		t.Errorf("the default namespace is left over in\n%s", text.String())
	}

	for _, want := range []string{
		"image: registry.example/lockstep:v1", "- --dialects=reload\n", "- --namespace=ops\n", "runAsUser: 65534",
		"path: /live", "path: /metrics", "readOnlyRootFilesystem: true",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}

	documents := strings.Split(text.String(), "---\n")
	if len(documents)-1 != len(objects) {
		t.Errorf("got %d documents for %d objects", len(documents)-1, len(objects))
	}
}

// TestTheChartHasTheSameDefinitionsAndRights keeps the copies that the chart reads from drifting away.
func TestTheChartHasTheSameDefinitionsAndRights(t *testing.T) {
	t.Parallel()

	copies := map[string]string{
		"manager/role.yaml":                                        "manager-role.yaml",
		"dialects/reload/cluster-role.yaml":                        "reload-cluster-role.yaml",
		"dialects/graph/cluster-role.yaml":                         "graph-cluster-role.yaml",
		"dialects/graph/cluster-role-aggregated.yaml":              "graph-cluster-role-aggregated.yaml",
		"dialects/graph/cluster-role-edit.yaml":                    "graph-cluster-role-edit.yaml",
		"dialects/graph/cluster-role-view.yaml":                    "graph-cluster-role-view.yaml",
		"dialects/graph/unrestricted/cluster-role.yaml":            "graph-cluster-role-unrestricted.yaml",
		"dialects/graph/crd/kro.run_resourcegraphdefinitions.yaml": "graph-crd-resourcegraphdefinitions.yaml",
		"dialects/graph/crd/internal.kro.run_graphrevisions.yaml":  "graph-crd-graphrevisions.yaml",
		"dialects/live/cluster-role.yaml":                          "live-cluster-role.yaml",
		"dialects/live/rook/cluster-role.yaml":                     "live-cluster-role-rook.yaml",
		"dialects/live/cluster-role-edit.yaml":                     "live-cluster-role-edit.yaml",
		"dialects/live/cluster-role-view.yaml":                     "live-cluster-role-view.yaml",
		"dialects/live/role.yaml":                                  "live-role.yaml",
		"dialects/live/crd/lockstep.dev_liveconfigs.yaml":          "live-crd-liveconfigs.yaml",
		"dialects/live/crd/lockstep.dev_livestores.yaml":           "live-crd-livestores.yaml",
	}

	if there, err := os.ReadDir(chartFiles()); err != nil || len(there) != len(copies) {
		t.Errorf("the chart has %d files (error %v), and %d are known", len(there), err, len(copies))
	}

	for from, to := range copies {
		t.Run(to, func(t *testing.T) {
			t.Parallel()

			want, err := config.Files.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}

			got, err := os.ReadFile(filepath.Join(chartFiles(), to))
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("run make generate: the chart's copy differs (-want +got):\n%s", diff)
			}
		})
	}
}

func chartFiles() string { return filepath.Join("..", "..", "charts", "lockstep", "files") }

func TestNoRuleGrantsEverything(t *testing.T) {
	t.Parallel()

	// The names of the kinds that definitions make are not known beforehand, their group is.
	ofInstances := rbacv1.PolicyRule{APIGroups: []string{"kro.run"}, Resources: []string{"*"}}

	for _, file := range []string{
		"manager/role.yaml", "dialects/reload/cluster-role.yaml", "dialects/graph/cluster-role.yaml",
		"dialects/graph/cluster-role-edit.yaml", "dialects/graph/cluster-role-view.yaml",
		"dialects/live/cluster-role.yaml", "dialects/live/role.yaml", "dialects/live/rook/cluster-role.yaml",
		"dialects/live/cluster-role-edit.yaml", "dialects/live/cluster-role-view.yaml",
	} {
		role := clusterRole(t, file)

		if len(role.Rules) == 0 {
			t.Errorf("%s has no rules", file)
		}

		for _, rule := range role.Rules {
			verbs := rule.Verbs
			rule.Verbs = nil

			if strings.Contains(rule.String(), "*") && !cmp.Equal(rule, ofInstances) || slices.Contains(verbs, "*") {
				t.Errorf("%s: rule %v %v has a wildcard", file, verbs, rule)
			}

			if slices.Contains(verbs, "impersonate") {
				t.Errorf("%s: rule %v lets the manager act as somebody else", file, rule)
			}
		}
	}
}

func TestTheManagerServesRooksObjectsWhereItIsAskedTo(t *testing.T) {
	t.Parallel()

	for _, asked := range []bool{false, true} {
		objects, err := install.Render(config.Files, install.Options{
			Dialects: []string{"live"}, Image: "registry.example/lockstep:v1", Rook: asked,
		})
		if err != nil {
			t.Fatal(err)
		}

		var text strings.Builder
		if err := install.Write(&text, objects); err != nil {
			t.Fatal(err)
		}

		if got := strings.Contains(text.String(), "- --live-rook=on\n"); got != asked {
			t.Errorf("asked for %t, the manager's switch is there: %t", asked, got)
		}
	}
}

func TestTheAggregatedRole_Section13HasTheLabelOfExistingRolesAndNoRules(t *testing.T) {
	t.Parallel()

	role := clusterRole(t, "dialects/graph/cluster-role-aggregated.yaml")

	// Rules of ours would be taken away by the control plane, and come back with the next installation.
	if len(role.Rules) > 0 {
		t.Errorf("it has rules: %v", role.Rules)
	}

	want := &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{"rbac.kro.run/aggregate-to-controller": "true"}},
	}}
	if diff := cmp.Diff(want, role.AggregationRule); diff != "" {
		t.Errorf("aggregation (-want +got):\n%s", diff)
	}
}

func clusterRole(t *testing.T, file string) rbacv1.ClusterRole {
	t.Helper()

	text, err := config.Files.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	role := rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(text, &role); err != nil {
		t.Fatalf("%s: %v", file, err)
	}

	return role
}

func replace(lines []string, old, with string) []string {
	replaced := make([]string, 0, len(lines))
	for _, l := range lines {
		replaced = append(replaced, strings.ReplaceAll(l, old, with))
	}

	return replaced
}
