package graph

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

var errConstantStatus = errors.New("status fields without expressions are not supported")

// statusFields reads the status that the author wants instances to have.
func (c *compiler) statusFields() {
	at := schemaPath("status")

	status, err := decode(c.definition.Spec.Schema.Status)
	if err != nil {
		c.adopt(at, err)

		return
	}

	fields := maps.Clone(status)
	// Both are put in by the dialect; the conditions are read below.
	delete(fields, "state")
	delete(fields, "conditions")

	if len(fields) > 0 {
		c.graph.status = c.statusValue(fields, at)
	}

	if conditions, given := status["conditions"]; given {
		c.statusConditions(conditions, at.Child("conditions"))
	}

	c.checkStatus()

	if c.graph.status != nil && len(c.problems) == 0 {
		props := statusSchema(c.graph.status)
		c.status = &props
	}
}

// statusValue reads a value of the status. Each leaf must hold an expression.
func (c *compiler) statusValue(v any, at fieldpath.Path) *shape {
	made := &shape{literal: v}

	switch v := v.(type) {
	case map[string]any:
		made.keys = sortedKeys(v)
		for _, key := range made.keys {
			made.add(c.statusValue(v[key], at.Child(key)))
		}
	case []any:
		made.list = true
		for i, element := range v {
			made.add(c.statusValue(element, at.Child(i)))
		}
	case string:
		made.text = c.statusText(v, at)

		return made
	}

	if len(made.below) == 0 {
		c.adopt(at, errConstantStatus)
	}

	return made
}

// statusText reads a text of the status. It returns nil for what is wrong.
func (c *compiler) statusText(v string, at fieldpath.Path) *textShape {
	before := len(c.problems)

	text := c.parse(at, v)
	if text == nil {
		if len(c.problems) == before {
			c.adopt(at, errConstantStatus)
		}

		return nil
	}

	made := &textShape{whole: text.Standalone, path: at}

	for _, part := range text.Parts {
		p := textPart{literal: part.Literal}
		if part.Expression != "" {
			p.expression = c.expression(nil, roleStatus, at, part.Expression)
			p.expression.field = made
		}

		made.parts = append(made.parts, p)
	}

	return made
}

// statusConditions reads the author's conditions, which replace the built-in ones.
func (c *compiler) statusConditions(v any, at fieldpath.Path) {
	list, ok := v.([]any)
	if !ok {
		c.problemf(at, "status.conditions must be a list of expressions")

		return
	}

	c.graph.withConditions = true

	for i, element := range list {
		source, ok := element.(string)
		if !ok {
			c.problemf(at.Child(i), "status.conditions must be a list of expressions")

			continue
		}

		if e := c.standalone(nil, roleCondition, at.Child(i), source); e != nil {
			c.graph.conditions = append(c.graph.conditions, e)
		}
	}
}

// checkStatus compiles the expressions of the status.
func (c *compiler) checkStatus() {
	if c.graph.env == nil {
		return
	}

	env, err := c.graph.env.WithConditions()
	if err != nil {
		c.adopt(schemaPath("status"), err)

		return
	}

	types := map[string]fieldpath.Path{}

	for _, e := range c.statusExpressions {
		if !e.parsed || !c.statusMentions(e) {
			continue
		}

		if e.role == roleStatus {
			c.program(nil, e, c.graph.env)
			c.statusString(e)

			continue
		}

		c.program(nil, e, env)
		c.conditionType(e, types)
	}
}

// statusMentions checks what an expression of the status mentions.
func (c *compiler) statusMentions(e *expression) bool {
	var unknown []string

	for _, id := range e.identifiers {
		if id != variableSchema && c.drafts[id] == nil {
			unknown = append(unknown, id)
		}
	}

	switch {
	case len(unknown) > 0:
		c.refuse(e, fmt.Errorf("%s references unknown identifiers: [%s]", c.describe(nil, e), strings.Join(unknown, " ")))
	case len(e.identifiers) == 0 && e.role == roleStatus:
		c.refuse(e, fmt.Errorf("%s: instance status field must refer to a resource or schema", c.describe(nil, e)))
	default:
		return true
	}

	return false
}

// statusString checks that an expression within a longer text gives a string.
func (c *compiler) statusString(e *expression) {
	if e.program == nil || e.field.whole {
		return
	}

	if t := e.program.Type(); !t.IsString() && !t.IsDyn() {
		c.refuse(e, fmt.Errorf("type mismatch in the status at path %q: expression %q returns type %q but expected %q",
			e.field.path[len(schemaPath("status")):], e.source, t, "string"))
	}
}

// conditionType checks that an expression gives conditions, and that no other gives the same one.
func (c *compiler) conditionType(e *expression, seen map[string]fieldpath.Path) {
	if e.program == nil {
		return
	}

	one := e.program.Type()
	if one.IsList() {
		one = one.Elem()
	}

	if !one.IsCondition() && !one.IsDyn() {
		c.refuse(e, fmt.Errorf("%s must return a condition or a list of conditions, but returns %q", c.describe(nil, e), e.program.Type()))
	}

	for _, name := range e.program.Conditions() {
		if other, there := seen[name]; there && other.String() != e.at.String() {
			c.refuse(e, fmt.Errorf("the condition type %q is also in %s", name, other))
		}

		seen[name] = e.at
	}
}

// statusSchema is the schema of a status whose expressions are compiled.
func statusSchema(s *shape) apiextensionsv1.JSONSchemaProps {
	switch {
	case s.text != nil && s.text.whole:
		return s.text.parts[0].expression.program.Type().JSONSchema()
	case s.text != nil:
		return apiextensionsv1.JSONSchemaProps{Type: "string"}
	case s.list:
		return listSchema(s)
	}

	props := apiextensionsv1.JSONSchemaProps{Type: "object", Properties: make(map[string]apiextensionsv1.JSONSchemaProps, len(s.keys))}
	for i, key := range s.keys {
		props.Properties[key] = statusSchema(s.below[i])
	}

	return props
}

// listSchema is that of a list whose elements are written one by one. Elements of different types may be anything.
func listSchema(s *shape) apiextensionsv1.JSONSchemaProps {
	items := statusSchema(s.below[0])

	for _, element := range s.below[1:] {
		if !equality.Semantic.DeepEqual(items, statusSchema(element)) {
			items = apiextensionsv1.JSONSchemaProps{XPreserveUnknownFields: new(true)}

			break
		}
	}

	return apiextensionsv1.JSONSchemaProps{Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &items}}
}
