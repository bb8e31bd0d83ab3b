package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph"
)

// aggregate is the label of roles whose rules the manager gets.
const aggregate = "rbac.kro.run/aggregate-to-controller"

func newGraphRBAC(streams genericiooptions.IOStreams) *cobra.Command {
	var name string

	cmd := &cobra.Command{
		Use:   "rbac -f FILE",
		Short: "Print the rights that a definition needs",
		Long: `Prints a ClusterRole with exactly the rights that the manager needs to serve the definition. A manager that was
installed without all rights gets them through its label. If the definition names a ServiceAccount, the rights to
write are printed as ClusterRoles for that account instead, to be bound where the instances live.`,
		Example: `  lockstep graph rbac -f rgd.yaml | kubectl apply -f -`,
		Args:    cobra.NoArgs,
	}
	files := newGraphFiles(streams, cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "", "name of the ClusterRole; default lockstep-graph- and the definition's name")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set, err := files.good(nil)
		if err != nil {
			return err
		}

		if name != "" && len(set.Definitions) > 1 {
			return errors.New("--name is for one role, and the files have several definitions")
		}

		for _, d := range set.Definitions {
			if err := printRights(streams.Out, d.Graph, cmp.Or(name, "lockstep-graph-"+d.Graph.Name)); err != nil {
				return err
			}
		}

		return nil
	}

	return cmd
}

// graphRights are the rights that a graph needs: verbs by resource.
type graphRights map[schema.GroupResource][]string

func (r graphRights) add(gr schema.GroupResource, verbs ...string) {
	for _, v := range verbs {
		if !slices.Contains(r[gr], v) {
			r[gr] = append(r[gr], v)
		}
	}
}

// rules are sorted, and resources of a group with the same verbs share one.
func (r graphRights) rules() []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule

	for _, gr := range slices.SortedFunc(maps.Keys(r), compareResources) {
		same := slices.IndexFunc(rules, func(rule rbacv1.PolicyRule) bool {
			return rule.APIGroups[0] == gr.Group && slices.Equal(rule.Verbs, r[gr])
		})
		if same >= 0 {
			rules[same].Resources = append(rules[same].Resources, gr.Resource)

			continue
		}

		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{gr.Group}, Resources: []string{gr.Resource}, Verbs: r[gr]})
	}

	return rules
}

func compareResources(a, b schema.GroupResource) int {
	return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Resource, b.Resource))
}

// printRights writes the roles that a graph needs.
func printRights(w io.Writer, g *graph.Graph, name string) error {
	manager, spaces, whole := graphRights{}, graphRights{}, graphRights{}
	instances := g.Resource.GroupResource()

	manager.add(instances, "get", "list", "watch", "patch")
	manager.add(sub(instances, "status"), "update")
	manager.add(sub(instances, "finalizers"), "update")

	for _, n := range g.Nodes {
		gr := n.Resource.GroupResource()
		manager.add(gr, "get", "list", "watch")

		writer := manager
		if g.ServiceAccount != "" {
			if writer = whole; n.Namespaced {
				writer = spaces
			}
		}

		switch {
		case !n.External:
			writer.add(gr, "get", "create", "patch", "delete")
		case n.Selector:
			writer.add(gr, "list")
		default:
			writer.add(gr, "get")
		}
	}

	rules := manager.rules()
	if g.ServiceAccount != "" {
		rules = append(rules,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, ResourceNames: []string{g.ServiceAccount}, Verbs: []string{"impersonate"}},
			rbacv1.PolicyRule{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
		)
	}

	fmt.Fprintf(w, "---\n# What the manager needs to serve the definition %s.\n", g.Name)

	if err := printRole(w, name, map[string]string{aggregate: "true"}, rules); err != nil {
		return err
	}

	account := "the manager"

	if g.ServiceAccount != "" {
		account = "the ServiceAccount " + g.ServiceAccount

		if err := printAccount(w, g, name, spaces, whole); err != nil {
			return err
		}
	}

	for _, hint := range escalation(g, account) {
		fmt.Fprintf(w, "# %s\n", hint)
	}

	return nil
}

// printAccount writes the roles of the ServiceAccount that the definition names.
func printAccount(w io.Writer, g *graph.Graph, name string, spaces, whole graphRights) error {
	if len(spaces) > 0 {
		fmt.Fprintf(w, "---\n# For the ServiceAccount %s: bind it with a RoleBinding in each namespace of an instance, and in each other\n"+
			"# namespace that its objects are in.\n", g.ServiceAccount)

		if err := printRole(w, name+"-account", nil, spaces.rules()); err != nil {
			return err
		}
	}

	if len(whole) == 0 {
		return nil
	}

	fmt.Fprintf(w, "---\n# For the ServiceAccount %s, for what is in no namespace: bind it with a ClusterRoleBinding.\n", g.ServiceAccount)

	return printRole(w, name+"-account-cluster", nil, whole.rules())
}

func sub(gr schema.GroupResource, name string) schema.GroupResource {
	return schema.GroupResource{Group: gr.Group, Resource: gr.Resource + "/" + name}
}

func printRole(w io.Writer, name string, labels map[string]string, rules []rbacv1.PolicyRule) error {
	text, err := yaml.Marshal(&rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Rules:      rules,
	})
	if err != nil {
		return fmt.Errorf("write the ClusterRole %s: %w", name, err)
	}

	fmt.Fprintf(w, "%s", text)

	return nil
}

// escalation tells of objects that give rights: nobody may make them who has not those rights himself.
func escalation(g *graph.Graph, who string) []string {
	var hints []string

	for _, n := range g.Nodes {
		if n.External || n.GVK.Group != rbacv1.GroupName {
			continue
		}

		switch n.GVK.Kind {
		case "Role", "ClusterRole":
			hints = append(hints, fmt.Sprintf("%s is a %s: %s needs every right that is in it too, or the verb escalate on %s.",
				n.ID, n.GVK.Kind, who, n.Resource.Resource))
		case "RoleBinding", "ClusterRoleBinding":
			hints = append(hints, fmt.Sprintf("%s is a %s: %s needs every right of the role that it binds too, or the verb bind on that role.",
				n.ID, n.GVK.Kind, who))
		}
	}

	return hints
}
