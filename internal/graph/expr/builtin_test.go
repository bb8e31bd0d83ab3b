package expr_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lockstep-dev/lockstep/internal/graph/builtin"
	"github.com/lockstep-dev/lockstep/internal/graph/expr"
)

func TestTypesOfBuiltinKinds(t *testing.T) {
	t.Parallel()

	kinds := map[string]schema.GroupVersionKind{
		"deployment": {Group: "apps", Version: "v1", Kind: "Deployment"},
		"service":    {Version: "v1", Kind: "Service"},
		"secret":     {Version: "v1", Kind: "Secret"},
		"config":     {Version: "v1", Kind: "ConfigMap"},
	}
	schemas := builtin.New()

	var variables []expr.Variable

	for id, gvk := range kinds {
		kind, err := schemas.Kind(gvk)
		if err != nil {
			t.Fatal(err)
		}

		variables = append(variables, expr.Variable{Name: id, Schema: kind.Schema})
	}

	e, err := expr.NewEnv(expr.Options{}, variables...)
	if err != nil {
		t.Fatal(err)
	}

	cases := map[string]string{
		"secret.metadata.resourceVersion":                       "string",
		"secret.data":                                           "map(string, bytes)",
		"secret.stringData":                                     "map(string, string)",
		"config.data":                                           "map(string, string)",
		"config.binaryData['x']":                                "bytes",
		"deployment.metadata.creationTimestamp":                 "timestamp",
		"deployment.spec.replicas":                              "int",
		"deployment.spec.template.spec.containers[0].image":     "string",
		"deployment.spec.strategy.rollingUpdate.maxSurge":       "dyn",
		"deployment.status.conditions.map(c, c.type)":           "list(string)",
		"deployment.status.conditions[0].lastTransitionTime":    "timestamp",
		"deployment.spec.template.spec.nodeSelector":            "map(string, string)",
		"service.spec.ports[0].targetPort":                      "dyn",
		"service.spec.ports":                                    "list(object)",
		"service.status.loadBalancer.ingress[0].?hostname":      "optional_type(string)",
		"service.spec.ports.exists(p, p.port == 80)":            "bool",
		"deployment.spec.template.spec.containers[0].resources": "object",
	}
	for source, want := range cases {
		p, err := e.Compile(source)
		if err != nil {
			t.Errorf("§4.2 compile %q: %v", source, err)

			continue
		}

		if got := p.Type().String(); got != want {
			t.Errorf("§4.4 the type of %q is %s, want %s", source, got, want)
		}
	}

	deployment, err := schemas.Kind(kinds["deployment"])
	if err != nil {
		t.Fatal(err)
	}

	p, err := e.Compile("deployment.spec.template")
	if err != nil {
		t.Fatal(err)
	}

	template := deployment.Schema.Properties["spec"].Properties["template"]
	if err := p.Type().Fits(&template); err != nil {
		t.Errorf("§4.4 a pod template for a pod template: %v", err)
	}
}
