package graph

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/kube-openapi/pkg/validation/spec"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// AnnotationAdopt on a template says that objects that are there already are taken over.
const AnnotationAdopt = "lockstep.dev/adopt"

// resources reads each resource: its kind, its fields against the kind's schema, and its expressions.
func (c *compiler) resources() {
	uses := map[schema.GroupVersionKind]bool{}

	for _, d := range c.list {
		switch template := len(d.source.Template.Raw) > 0; {
		case template == (d.source.ExternalRef != nil):
			c.problemf(d.at, "exactly one of template or externalRef must be provided")
		case template:
			c.template(d)
		default:
			c.external(d)
		}

		c.forEach(d)
		c.gates(d)

		if d.known {
			uses[d.GVK] = true
		}
	}

	c.graph.Uses = slices.SortedFunc(maps.Keys(uses), func(a, b schema.GroupVersionKind) int {
		return strings.Compare(a.String(), b.String())
	})
}

// decode reads a free-form part of the definition. An absent one is nil.
func decode(r runtime.RawExtension) (map[string]any, error) {
	if len(r.Raw) == 0 {
		return nil, nil //nolint:nilnil // nothing is not wrong
	}

	var m map[string]any
	if err := json.Unmarshal(r.Raw, &m); err != nil {
		return nil, fmt.Errorf("it must be an object: %w", err)
	}

	return m, nil
}

// template reads a resource that is made.
func (c *compiler) template(d *draft) {
	at := d.at.Child("template")

	template, err := decode(d.source.Template)
	if err != nil {
		c.adopt(at, err)

		return
	}

	gvk, ok := c.header(at, template)
	metadata, isMap := template["metadata"].(map[string]any)

	if !isMap {
		c.problemf(at.Child("metadata"), "a template needs a metadata map")
	}

	if !ok {
		return
	}

	c.resolve(d, at, gvk)

	if isMap {
		c.metadata(d, at.Child("metadata"), metadata)
	}

	w := &walker{compiler: c, draft: d, base: at, celOnly: celFields(gvk)}
	d.shape = w.value(template, withMetadata(d.Schema), nil)
	d.shape.sets(d.Sets)
	d.Adopt = adopts(metadata)
}

// celFields is the only field of a template below which expressions are allowed; empty for any.
func celFields(gvk schema.GroupVersionKind) string {
	if gvk.Group == "apiextensions.k8s.io" && gvk.Kind == "CustomResourceDefinition" {
		return "metadata"
	}

	return ""
}

func adopts(metadata map[string]any) bool {
	annotations, _ := metadata["annotations"].(map[string]any)

	return annotations[AnnotationAdopt] == "true"
}

// header reads which kind a template is of. It must be the same for all instances.
func (c *compiler) header(at fieldpath.Path, template map[string]any) (schema.GroupVersionKind, bool) {
	texts := [2]string{}

	for i, key := range []string{"apiVersion", "kind"} {
		text, isText := template[key].(string)

		switch {
		case !isText || text == "":
			c.problemf(at.Child(key), "a template needs the %s", key)
		case strings.Contains(text, "${"):
			c.problemf(at.Child(key), "the %s of a template must not hold an expression", key)
		default:
			texts[i] = text
		}
	}

	if texts[0] == "" || texts[1] == "" {
		return schema.GroupVersionKind{}, false
	}

	return c.parseKind(at, texts[0], texts[1])
}

func (c *compiler) parseKind(at fieldpath.Path, apiVersion, kind string) (schema.GroupVersionKind, bool) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || gv.Version == "" {
		c.problemf(at.Child("apiVersion"), "%q is not a group and version", apiVersion)

		return schema.GroupVersionKind{}, false
	}

	return gv.WithKind(kind), true
}

// resolve looks the kind of a resource up. Of a kind that is not known, any field is taken.
func (c *compiler) resolve(d *draft, at fieldpath.Path, gvk schema.GroupVersionKind) {
	d.GVK = gvk

	kind, err := c.schemas.Kind(gvk)
	if err != nil {
		c.adopt(at.Child("kind"), err)

		return
	}

	d.known, d.Resource, d.Namespaced, d.Schema = true, kind.Resource, kind.Namespaced, kind.Schema
}

// metadata checks what identifies and marks a template's objects.
func (c *compiler) metadata(d *draft, at fieldpath.Path, metadata map[string]any) {
	if name, _ := metadata["name"].(string); name == "" {
		c.problemf(at.Child("name"), "a template needs a name")
	}

	namespace, given := metadata["namespace"]
	given = given && namespace != nil && namespace != ""

	switch {
	case !d.known:
	case !d.Namespaced && given:
		c.problemf(at.Child("namespace"), "%s is cluster-scoped: its template must not set metadata.namespace", d.GVK.Kind)
	case d.Namespaced && !given && !c.graph.Namespaced:
		c.problemf(at.Child("namespace"), "%s is namespaced and the instances are cluster-scoped: its template must set metadata.namespace", d.GVK.Kind)
	}

	for _, kind := range []string{"labels", "annotations"} {
		marks, _ := metadata[kind].(map[string]any)

		for _, key := range slices.Sorted(maps.Keys(marks)) {
			if strings.HasPrefix(key, "kro.run/") || strings.HasPrefix(key, "internal.kro.run/") {
				c.problemf(at.Child(kind, key), "%s %q is reserved for internal use", strings.TrimSuffix(kind, "s"), key)
			}
		}
	}
}

// external reads a resource that is only read.
func (c *compiler) external(d *draft) {
	ref, at := d.source.ExternalRef, d.at.Child("externalRef")
	d.External, d.Selector, d.selector = true, ref.Metadata.Selector != nil, ref.Metadata.Selector

	if (ref.Metadata.Name != "") == d.Selector {
		c.problemf(at.Child("metadata"), "exactly one of name or selector must be provided")
	}

	if len(d.source.ForEach) > 0 {
		c.problemf(d.at.Child("forEach"), "forEach and externalRef cannot be used together")
	}

	if gvk, ok := c.parseKind(at, ref.APIVersion, ref.Kind); ok {
		c.resolve(d, at, gvk)
	}

	given := ref.Metadata.Namespace != ""

	switch {
	case !d.known:
	case !d.Namespaced && given:
		c.problemf(at.Child("metadata", "namespace"), "%s is cluster-scoped: a reference to it must not set metadata.namespace", d.GVK.Kind)
	case d.Namespaced && !given && !d.Selector && !c.graph.Namespaced:
		c.problemf(at.Child("metadata", "namespace"),
			"%s is namespaced and the instances are cluster-scoped: a reference to it must set metadata.namespace", d.GVK.Kind)
	}

	w := &walker{compiler: c, draft: d, base: at.Child("metadata")}
	d.shape = w.value(referenceOf(ref.Metadata), textsOnly(), nil)
}

// referenceOf is the metadata of a reference as a document. The keys of a selector are never expressions.
func referenceOf(m krov1alpha1.ExternalRefMetadata) map[string]any {
	document := map[string]any{}
	if m.Name != "" {
		document["name"] = m.Name
	}

	if m.Namespace != "" {
		document["namespace"] = m.Namespace
	}

	if m.Selector == nil {
		return document
	}

	matches := make(map[string]any, len(m.Selector.MatchLabels))
	for k, v := range m.Selector.MatchLabels {
		matches[k] = v
	}

	requirements := make([]any, len(m.Selector.MatchExpressions))

	for i, e := range m.Selector.MatchExpressions {
		values := make([]any, len(e.Values))
		for j, v := range e.Values {
			values[j] = v
		}

		// Neither a key nor an operator is text that may hold an expression: they are put back when it is evaluated.
		requirements[i] = map[string]any{"values": values}
	}

	document["selector"] = map[string]any{"matchLabels": matches, "matchExpressions": requirements}

	return document
}

// textsOnly is the schema of a document whose values are all texts, whatever the keys.
func textsOnly() *spec.Schema {
	text := spec.StringProperty()
	requirement := spec.Schema{}
	requirement.Type = spec.StringOrArray{"object"}
	requirement.SetProperty("values", *spec.ArrayProperty(text))

	selector := spec.Schema{}
	selector.Type = spec.StringOrArray{"object"}
	selector.SetProperty("matchLabels", *spec.MapProperty(text))
	selector.SetProperty("matchExpressions", *spec.ArrayProperty(&requirement))

	s := &spec.Schema{}
	s.Type = spec.StringOrArray{"object"}
	s.SetProperty("name", *text)
	s.SetProperty("namespace", *text)
	s.SetProperty("selector", selector)

	return s
}

// forEach reads the lists that a collection is made of.
func (c *compiler) forEach(d *draft) {
	d.Collection = len(d.source.ForEach) > 0 && !d.External

	if n := len(d.source.ForEach); n > c.options.MaxDimensions {
		c.problemf(d.at.Child("forEach"), "forEach has %d dimensions, over the maximum of %d", n, c.options.MaxDimensions)
	}

	for i, dimension := range d.source.ForEach {
		for name, source := range dimension {
			if at, named := d.iterators[name]; !named || at != i {
				continue
			}

			if e := c.standalone(d, roleForEach, d.at.Child("forEach", i, name), source); e != nil {
				d.forEach = append(d.forEach, iterator{name, e})
			}
		}
	}
}

// gates reads what decides whether a node is wanted and ready, and what it waits for.
func (c *compiler) gates(d *draft) {
	for i, source := range d.source.IncludeWhen {
		if e := c.standalone(d, roleInclude, d.at.Child("includeWhen", i), source); e != nil {
			d.includeWhen = append(d.includeWhen, e)
		}
	}

	for i, source := range d.source.ReadyWhen {
		if e := c.standalone(d, roleReady, d.at.Child("readyWhen", i), source); e != nil {
			d.readyWhen = append(d.readyWhen, e)
		}
	}
}

// waits reads which fields of others a node waits for. It needs the others' kinds.
func (c *compiler) waits(d *draft) {
	for _, id := range sortedKeys(d.source.WaitFor) {
		at, wait := d.at.Child("waitFor", id), d.source.WaitFor[id]

		target := c.drafts[id]

		switch {
		case id == d.ID:
			c.problemf(at, "self references are not allowed: %q cannot wait for fields of its own", id)

			continue
		case target == nil:
			c.problemf(at, "references unknown identifiers: [%s]", id)

			continue
		}

		w := waiting{on: id}
		if wait.Timeout != nil {
			w.timeout = wait.Timeout.Duration
		}

		w.fields = c.waitFields(target, at, wait)
		d.waitFor = append(d.waitFor, w)
	}
}

// waitFields reads the fields of one other resource: each once, those with a pattern too.
func (c *compiler) waitFields(target *draft, at fieldpath.Path, wait krov1alpha1.WaitFor) []waitField {
	var fields []waitField

	add := func(at fieldpath.Path, text, pattern string) {
		steps, err := parseField(text)
		if err == nil {
			err = hasField(withMetadata(target.Schema), steps)
		}

		if err != nil {
			c.adopt(at, fmt.Errorf("%q of %s: %w", text, target.ID, err))

			return
		}

		f := waitField{text: text, steps: steps, want: wantPresent}

		if pattern != "" {
			if f.pattern, err = regexp.Compile(pattern); err != nil {
				c.adopt(at, fmt.Errorf("%q is not a regular expression: %w", pattern, err))

				return
			}

			f.want = pattern
		}

		target.Reads.Add(keysOf(steps)...)

		fields = append(fields, f)
	}

	for i, text := range wait.Fields {
		if _, matched := wait.Matches[text]; !matched {
			add(at.Child("fields", i), text, "")
		}
	}

	for _, text := range sortedKeys(wait.Matches) {
		add(at.Child("matches", text), text, wait.Matches[text])
	}

	return fields
}

// selectorOf makes a selector of what the matches and the values of the requirements were evaluated to.
func selectorOf(source *metav1.LabelSelector, evaluated map[string]any) (*metav1.LabelSelector, error) {
	selector := source.DeepCopy()

	matches, _ := evaluated["matchLabels"].(map[string]any)
	for k, v := range matches {
		text, err := labelValue(k, v)
		if err != nil {
			return nil, err
		}

		selector.MatchLabels[k] = text
	}

	requirements, _ := evaluated["matchExpressions"].([]any)
	for i, r := range requirements {
		requirement, _ := r.(map[string]any)
		values, _ := requirement["values"].([]any)

		for j, v := range values {
			text, err := labelValue(selector.MatchExpressions[i].Key, v)
			if err != nil {
				return nil, err
			}

			selector.MatchExpressions[i].Values[j] = text
		}
	}

	return selector, nil
}

// labelValue checks a label's value, which the error does not repeat.
func labelValue(key string, v any) (string, error) {
	text, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("the value of the label %q must be a string, not %T", key, v)
	}

	if invalid := validation.IsValidLabelValue(text); len(invalid) > 0 {
		return "", fmt.Errorf("the value of the label %q is not valid: %s", key, strings.Join(invalid, "; "))
	}

	return text, nil
}

// sortedKeys lists the keys of a map in order.
func sortedKeys[V any, M ~map[string]V](m M) []string { return slices.Sorted(maps.Keys(m)) }
