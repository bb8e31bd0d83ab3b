package install_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/cli"
	"github.com/lockstep-dev/lockstep/internal/install"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestTheCommandsInstallAndUninstall(t *testing.T) {
	const crd, role, binding = "customresourcedefinition.apiextensions.k8s.io/", "clusterrole.rbac.authorization.k8s.io/",
		"clusterrolebinding.rbac.authorization.k8s.io/"

	name := plane.Namespace(t)
	definitions := []string{
		crd + "graphrevisions.internal.kro.run", crd + "resourcegraphdefinitions.kro.run",
		crd + "liveconfigs.lockstep.dev", crd + "livestores.lockstep.dev",
	}
	manager := []string{
		"rolebinding.rbac.authorization.k8s.io/lockstep", "role.rbac.authorization.k8s.io/lockstep", "serviceaccount/lockstep",
	}
	reload := []string{binding + "lockstep-reload", role + "lockstep-reload"}
	graph := []string{
		role + "lockstep-graph-aggregated", binding + "lockstep-graph-aggregated", binding + "lockstep-graph",
		role + "lockstep-graph-edit", role + "lockstep-graph-view", role + "lockstep-graph",
	}
	every := []string{binding + "lockstep-graph-unrestricted", role + "lockstep-graph-unrestricted"}
	live := []string{
		binding + "lockstep-live", role + "lockstep-live-edit", role + "lockstep-live-view", role + "lockstep-live",
		"rolebinding.rbac.authorization.k8s.io/lockstep-live", "role.rbac.authorization.k8s.io/lockstep-live",
	}
	rook := []string{binding + "lockstep-live-rook", role + "lockstep-live-rook"}

	needed := slices.Concat(definitions, manager, reload, graph)
	all := slices.Concat(needed, live)
	withdrawn := slices.Concat(backward(rook), backward(every))
	before := []string{"namespace/" + name + " unchanged: it was there before"}

	for _, step := range []struct {
		args []string
		want []string
	}{
		{[]string{"install"}, slices.Concat(before, each(all, "created"))},
		{
			[]string{"install", "--graph-rbac=unrestricted", "--live-rook=on"},
			slices.Concat(before, each(needed, "unchanged"), each(every, "created"), each(live, "unchanged"), each(rook, "created")),
		},
		{
			[]string{"install", "--dry-run"},
			each(slices.Concat(before, each(all, "unchanged"), each(withdrawn, "deleted")), "(dry run)"),
		},
		{[]string{"install"}, slices.Concat(before, each(all, "unchanged"), each(withdrawn, "deleted"))},
		{[]string{"uninstall"}, slices.Concat(
			[]string{"deployment.apps/lockstep absent"},
			each(backward(reload), "deleted"), each(backward(rook), "absent"), each(backward(live), "deleted"),
			each(backward(every), "absent"), each(backward(graph), "deleted"), each(backward(manager), "deleted"),
			each(backward(definitions), "deleted"),
			[]string{"namespace/" + name + " kept: it was not made by lockstep install"},
		)},
	} {
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		cmd := cli.New(streams, nil)
		cmd.SetArgs(append(step.args, "--kubeconfig="+plane.Kubeconfig(t), "--namespace="+name))

		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%v: %v", step.args, err)
		}

		if diff := cmp.Diff(step.want, strings.Split(strings.TrimSpace(out.String()), "\n")); diff != "" {
			t.Errorf("%v prints (-want +got):\n%s", step.args, diff)
		}
	}
}

func each(names []string, word string) []string {
	lines := make([]string, 0, len(names))
	for _, name := range names {
		lines = append(lines, name+" "+word)
	}

	return lines
}

func backward(names []string) []string {
	r := slices.Clone(names)
	slices.Reverse(r)

	return r
}

func TestTheInstalledManagersArgumentsAreThoseOfTheCommand(t *testing.T) {
	t.Parallel()

	objects, err := install.Render(config.Files, withManager("ops"))
	if err != nil {
		t.Fatal(err)
	}

	manager := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects[len(objects)-1].Object, manager); err != nil {
		t.Fatal(err)
	}

	root := cli.New(genericiooptions.NewTestIOStreamsDiscard(), nil)

	cmd, flags, err := root.Find(manager.Spec.Template.Spec.Containers[0].Args)
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.ParseFlags(flags); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff("lockstep manager", cmd.CommandPath()); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}

	if got := cmd.Flags().Lookup("namespace").Value.String(); got != "ops" {
		t.Errorf("its namespace is %q", got)
	}
}
