package install_test

import (
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
	name := plane.Namespace(t)
	rights := []string{
		"rolebinding.rbac.authorization.k8s.io/lockstep", "role.rbac.authorization.k8s.io/lockstep", "serviceaccount/lockstep",
		"clusterrolebinding.rbac.authorization.k8s.io/lockstep-reload", "clusterrole.rbac.authorization.k8s.io/lockstep-reload",
	}

	var installed, deleted strings.Builder

	installed.WriteString("namespace/" + name + " unchanged: it was there before\n")
	deleted.WriteString("deployment.apps/lockstep absent\n")

	for n := range rights {
		installed.WriteString(rights[n] + " created\n")
		deleted.WriteString(rights[len(rights)-1-n] + " deleted\n")
	}

	deleted.WriteString("namespace/" + name + " kept: it was not made by lockstep install\n")

	for _, c := range []struct{ verb, want string }{{"install", installed.String()}, {"uninstall", deleted.String()}} {
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		cmd := cli.New(streams, nil)
		cmd.SetArgs([]string{c.verb, "--kubeconfig=" + plane.Kubeconfig(t), "--namespace=" + name})

		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.verb, err)
		}

		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s prints (-want +got):\n%s", c.verb, diff)
		}
	}
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
