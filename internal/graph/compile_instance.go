package graph

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph/crd"
	"github.com/lockstep-dev/lockstep/internal/graph/expr"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
	"github.com/lockstep-dev/lockstep/internal/graph/simpleschema"
)

const (
	// AnnotationServiceAccount of spec.schema.metadata names the ServiceAccount, of each instance's namespace, in
	// whose name the instance's objects are applied.
	AnnotationServiceAccount = "lockstep.dev/service-account"

	// defaultGroup is what the API server puts in when a definition says no group.
	defaultGroup = "kro.run"
)

// instance reads the kind that the definition makes.
func (c *compiler) instance() {
	s := c.definition.Spec.Schema

	group := s.Group
	if group == "" {
		group = defaultGroup
	}

	c.graph.Kind = schema.GroupVersionKind{Group: group, Version: s.APIVersion, Kind: s.Kind}
	c.graph.Resource = schema.GroupVersionResource{Group: group, Version: s.APIVersion, Resource: crd.Plural(s.Kind)}
	c.graph.Namespaced = s.Scope != krov1alpha1.ScopeCluster

	if s.Metadata != nil {
		c.graph.ServiceAccount = s.Metadata.Annotations[AnnotationServiceAccount]
	}

	if c.graph.ServiceAccount != "" && !c.graph.Namespaced {
		c.problemf(schemaPath("metadata", "annotations", AnnotationServiceAccount),
			"cluster-scoped instances have no namespace of which the ServiceAccount %s could be", c.graph.ServiceAccount)
	}

	fields, err := decode(s.Spec)
	c.adopt(schemaPath("spec"), err)

	types, err := decode(s.Types)
	c.adopt(schemaPath("types"), err)

	c.spec, err = simpleschema.Build(fields, types, schemaPath())
	c.adopt(schemaPath("spec"), err)

	if err != nil {
		c.spec = nil
	}

	c.variable = c.schemaVariable(err == nil)
}

// schemaVariable is the schema of the instances as expressions see them: without a status.
func (c *compiler) schemaVariable(known bool) *spec.Schema {
	variable := &spec.Schema{}
	variable.Type = spec.StringOrArray{"object"}
	variable.SetProperty("apiVersion", *spec.StringProperty())
	variable.SetProperty("kind", *spec.StringProperty())
	variable.SetProperty("metadata", *expr.ObjectMeta())

	fields := spec.Schema{}

	switch {
	case !known:
		fields.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	case c.spec != nil:
		if err := convert(c.spec, &fields); err != nil {
			c.adopt(schemaPath("spec"), err)
		}
	}

	if known && len(fields.Type) == 0 {
		fields.Type = spec.StringOrArray{"object"}
	}

	variable.SetProperty("spec", fields)

	return variable
}

// convert makes a schema of the form that definitions have one of the form that kinds have. Both are the same in JSON.
func convert(from *apiextensionsv1.JSONSchemaProps, to *spec.Schema) error {
	raw, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(raw, to)
	}

	if err != nil {
		return fmt.Errorf("convert the schema: %w", err)
	}

	return nil
}

// define makes the definition of the instances' kind.
func (c *compiler) define() {
	if len(c.problems) > 0 {
		return
	}

	s := c.definition.Spec.Schema
	d := crd.Definition{
		Group: c.graph.Kind.Group, Version: c.graph.Kind.Version, Kind: c.graph.Kind.Kind, Namespaced: c.graph.Namespaced,
		Spec: c.spec, Status: c.status, Columns: s.AdditionalPrinterColumns,
		ShortNames: s.ShortNames, Categories: s.Categories,
	}

	if s.Metadata != nil {
		d.Labels, d.Annotations = s.Metadata.Labels, s.Metadata.Annotations
	}

	c.graph.CRD = crd.Build(d)
}

// read gathers what the expressions read of the instance and of the nodes' objects.
func (c *compiler) read() {
	for _, d := range c.list {
		iterators := map[string]expr.Read{}
		lists := map[*expression]bool{}

		for _, it := range d.forEach {
			if read, ok := c.elements(it.list); ok {
				iterators[it.name], lists[it.list] = read, true
			}
		}

		for _, e := range d.all {
			if !lists[e] {
				c.readBy(d, e, iterators)
			}
		}
	}

	for _, e := range c.statusExpressions {
		c.readBy(nil, e, nil)
	}
}

// identifier is an expression that is nothing but a variable.
var identifier = regexp.MustCompile(`^\s*[a-zA-Z][a-zA-Z0-9]*\s*$`)

// elements says whether an expression gives the objects of a node, one by one. Then what is read of the elements is
// what is read of the objects, and not all of them.
func (c *compiler) elements(e *expression) (expr.Read, bool) {
	if e.program == nil || !identifier.MatchString(e.source) || len(e.identifiers) != 1 {
		return expr.Read{}, false
	}

	target := c.drafts[e.identifiers[0]]
	if target == nil || !target.Collection && !target.Selector {
		return expr.Read{}, false
	}

	return expr.Read{Variable: target.ID}, true
}

// readBy adds what an expression reads.
func (c *compiler) readBy(d *draft, e *expression, iterators map[string]expr.Read) {
	if e.program == nil {
		return
	}

	for _, r := range e.program.Reads() {
		if of, ok := iterators[r.Variable]; ok {
			r = expr.Read{Variable: of.Variable, Keys: r.Keys}
		}

		switch target := c.drafts[r.Variable]; {
		case r.Variable == variableSchema:
			c.graph.InstanceReads.Add(r.Keys...)
		case r.Variable == variableEach && d != nil:
			d.Reads.Add(r.Keys...)
		case target != nil:
			target.Reads.Add(r.Keys...)
		}
	}
}

// warn notes what is allowed and will surprise.
func (c *compiler) warn() {
	for _, d := range c.list {
		for _, e := range d.identity {
			if !d.External {
				c.warnOfName(d, e)
				c.warnOfPlace(d, e)
				c.warnOfSecret(d, e)
			}
		}

		for _, e := range d.includeWhen {
			c.warnOfGate(d, e)
		}
	}

	slices.SortStableFunc(c.graph.Warnings, func(a, b Warning) int { return comparePaths(a.Path, b.Path) })
}

// warnOf notes something about an expression of a name or a namespace.
func (c *compiler) warnOf(reason string, d *draft, e *expression, text string) {
	c.graph.Warnings = append(c.graph.Warnings, Warning{
		Reason: reason, Path: e.at, Expression: e.source,
		Message: fmt.Sprintf("resource %q: the expression %q in %s %s", d.ID, e.source, inDocument(d, e.at), text),
	})
}

// warnOfName notes names that change with what does not end, or not soon.
func (c *compiler) warnOfName(d *draft, e *expression) {
	for _, r := range c.reads(d, e) {
		if r.Variable != variableSchema || len(r.Keys) < 2 || r.Keys[0] != "metadata" {
			continue
		}

		switch r.Keys[1] {
		case "resourceVersion", "managedFields":
			c.warnOf("EndlessLoop", d, e, "changes with every write to the instance, also with those that an object of a new name causes: "+
				"objects will be made and deleted forever")

			return
		case "generation":
			c.warnOf("NewObjectWithEveryEdit", d, e, "changes with every edit of the instance: each one makes a new object and deletes the former")

			return
		}
	}
}

// warnOfPlace notes namespaces that whoever makes an instance chooses, though the manager's rights count there.
func (c *compiler) warnOfPlace(d *draft, e *expression) {
	if c.graph.ServiceAccount != "" || e.at[len(e.at)-1] != "namespace" ||
		!slices.ContainsFunc(c.reads(d, e), func(r expr.Read) bool {
			return r.Variable == variableSchema && (len(r.Keys) == 0 || r.Keys[0] == "spec")
		}) {
		return
	}

	text := "is for whoever may create an instance to choose: they make the manager write objects into any namespace that it may write to"
	if c.graph.Namespaced {
		text += "; the annotation " + AnnotationServiceAccount + " of spec.schema.metadata bounds them to the rights of a ServiceAccount of their own"
	}

	c.warnOf("CrossNamespace", d, e, text)
}

// warnOfSecret notes names that tell what is in a Secret.
func (c *compiler) warnOfSecret(d *draft, e *expression) {
	if e.sensitive {
		c.warnOf("SecretInName", d, e, "reads the content of a Secret: names are there for all to read, in lists, logs and messages")
	}
}

// warnOfGate notes conditions over a field that an instance may not have.
func (c *compiler) warnOfGate(d *draft, e *expression) {
	if e.program == nil || c.variable == nil || !onlySchema(e) || guarded.MatchString(e.source) {
		return
	}

	for _, r := range e.program.Reads() {
		if len(r.Keys) > 1 && r.Keys[0] == "spec" && !always(c.variable, r.Keys) {
			c.graph.Warnings = append(c.graph.Warnings, Warning{
				Reason: "OptionalField", Path: e.at, Expression: e.source,
				Message: fmt.Sprintf("resource %q: the expression %q in includeWhen reads schema.%s, which an instance may not have: "+
					"then it counts as false; has() or ? says so", d.ID, e.source, fieldpath.Path(anySlice(r.Keys))),
			})

			return
		}
	}
}

// guarded is an expression that considers that something may be absent.
var guarded = regexp.MustCompile(`\bhas\s*\(|\.\?|\[\?`)

// onlySchema says whether an expression depends on the instance alone.
func onlySchema(e *expression) bool {
	return len(e.identifiers) == 1 && e.identifiers[0] == variableSchema
}

// always says whether every instance has a field: each step is required or has a default.
func always(s *spec.Schema, keys []string) bool {
	for i, key := range keys {
		field, ok := s.Properties[key]
		if !ok {
			return false
		}

		// The spec itself need not be there, but without it nothing that is required is missed.
		if i > 0 && field.Default == nil && !slices.Contains(s.Required, key) {
			return false
		}

		s = &field
	}

	return true
}

func anySlice(keys []string) []any {
	all := make([]any, len(keys))
	for i, key := range keys {
		all[i] = key
	}

	return all
}
