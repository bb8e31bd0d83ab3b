package graph

import (
	"regexp"
	"slices"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

var (
	lowerCamel   = regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)
	upperCamel   = regexp.MustCompile(`^[A-Z][a-zA-Z0-9]{0,62}$`)
	kindVersion  = regexp.MustCompile(`^v[0-9]+(alpha[0-9]+|beta[0-9]+)?$`)
	variableName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// names checks what is called how, and starts a draft of each resource.
func (c *compiler) names() {
	s := c.definition.Spec.Schema

	if !upperCamel.MatchString(s.Kind) {
		c.problemf(schemaPath("kind"), "naming convention violation: kind %q must be upper camelCase and at most 63 characters long", s.Kind)
	}

	if !kindVersion.MatchString(s.APIVersion) {
		c.problemf(schemaPath("apiVersion"), "naming convention violation: apiVersion %q must be a version such as v1alpha1, without a group", s.APIVersion)
	}

	for i, r := range c.definition.Spec.Resources {
		at := resourcePath(i)

		if r == nil {
			c.problemf(at, "the resource is empty")

			continue
		}

		d := &draft{
			Node:   &Node{ID: r.ID, Sets: &fieldpath.Tree{}, Reads: &fieldpath.Tree{}, limit: c.options.MaxCollectionSize},
			source: r, at: at,
		}
		c.list = append(c.list, d)

		if c.nameResource(d) {
			c.drafts[r.ID] = d
		}
	}

	for _, d := range c.list {
		c.nameIterators(d)
	}
}

// nameResource checks an id, and says whether expressions can mean the resource by it.
func (c *compiler) nameResource(d *draft) bool {
	const violation = "naming convention violation: "

	at := d.at.Child("id")

	switch {
	case reserved(d.ID) || celWord(d.ID):
		c.problemf(at, violation+"id %s is a reserved keyword in KRO", d.ID)

		return !celWord(d.ID) && !slices.Contains([]string{variableSchema, variableEach, variableRuntime}, d.ID)
	case !lowerCamel.MatchString(d.ID):
		c.problemf(at, violation+"id %s is not a valid KRO resource id: must be lower camelCase", d.ID)
	case c.drafts[d.ID] != nil:
		c.problemf(at, violation+"found duplicate resource IDs %s", d.ID)

		return false
	}

	return variableName.MatchString(d.ID)
}

// nameIterators checks the names of a collection's lists.
func (c *compiler) nameIterators(d *draft) {
	const violation = "naming convention violation: forEach iterator %s "

	d.iterators, d.misnamed = map[string]int{}, map[string]bool{}

	for i, dimension := range d.source.ForEach {
		at := d.at.Child("forEach", i)

		if len(dimension) != 1 {
			c.problemf(at, "a forEach entry has exactly one iterator, not %d", len(dimension))
		}

		for _, name := range sortedKeys(dimension) {
			_, twice := d.iterators[name]
			at := at.Child(name)

			switch {
			case reserved(name) || celWord(name):
				c.problemf(at, violation+"is a reserved keyword in KRO", name)
			case !lowerCamel.MatchString(name):
				c.problemf(at, violation+"must be lower camelCase", name)
			case c.drafts[name] != nil:
				c.problemf(at, violation+"is also the id of a resource", name)
			case twice:
				c.problemf(at, violation+"is there twice", name)

				continue
			case len(dimension) == 1:
				d.iterators[name] = i

				continue
			}

			d.misnamed[name] = true
		}
	}
}

// The variables of expressions that are no resources.
const (
	variableSchema  = "schema"
	variableEach    = "each"
	variableRuntime = "runtime"
)

// reserved says whether a name is kept for the dialect.
func reserved(name string) bool {
	switch name {
	case "apiVersion", "context", "dependency", "dependencies", variableEach, "externalRef", "externalReference", "externalRefs",
		"externalReferences", "graph", "instance", "item", "items", "kind", "kro", "metadata", "namespace", "object",
		"resource", "resourcegraphdefinition", "resourceGraphDefinition", "resources", "root", variableRuntime,
		variableSchema, "self", "serviceAccountName", "spec", "status", "this", "variables", "vars", "version":
		return true
	}

	return false
}

// celWord says whether a name is kept by the expressions' language.
func celWord(name string) bool {
	switch name {
	case "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
		"let", "loop", "package", "namespace", "return", "var", "void", "while":
		return true
	}

	return false
}

func schemaPath(steps ...any) fieldpath.Path { return fieldpath.Path{"spec", "schema"}.Child(steps...) }

func resourcePath(i int) fieldpath.Path { return fieldpath.Path{"spec", "resources", i} }
