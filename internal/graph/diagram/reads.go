package diagram

import (
	"encoding/json"
	"slices"
	"strings"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/expr"
	"github.com/lockstep-dev/lockstep/internal/graph/template"
)

// reads are the fields of the graph's other resources that decide what a resource is, sorted, by the other's id.
func reads(g *graph.Graph, r *krov1alpha1.Resource) map[string][]string {
	fields := map[string][]string{}

	note := func(id, field string) {
		if g.Node(id) != nil && field != "" && !slices.Contains(fields[id], field) {
			fields[id] = append(fields[id], field)
		}
	}

	for _, source := range expressionsOf(r) {
		for _, read := range readsOf(g, r, source) {
			note(read.Variable, strings.Join(read.Keys, "."))
		}
	}

	for id, wait := range r.WaitFor {
		for _, field := range wait.Fields {
			note(id, field)
		}

		for field := range wait.Matches {
			note(id, field)
		}
	}

	for id := range fields {
		slices.Sort(fields[id])
	}

	return fields
}

// expressionsOf are those that decide what the resource is; not those that say whether it is ready.
func expressionsOf(r *krov1alpha1.Resource) []string {
	var found []string

	for _, text := range textsOf(r) {
		parsed, err := template.Parse(text)
		if err != nil {
			continue // a compiled definition has none
		}

		for _, part := range parsed.Parts {
			if part.Expression != "" {
				found = append(found, part.Expression)
			}
		}
	}

	return found
}

func textsOf(r *krov1alpha1.Resource) []string {
	texts := slices.Clone(r.IncludeWhen)
	for _, list := range r.ForEach {
		for _, text := range list {
			texts = append(texts, text)
		}
	}

	if r.ExternalRef != nil {
		return append(texts, referenceTexts(r.ExternalRef.Metadata)...)
	}

	var value any
	// A compiled definition has no template that is not JSON.
	_ = json.Unmarshal(r.Template.Raw, &value)

	return gather(texts, value)
}

func referenceTexts(m krov1alpha1.ExternalRefMetadata) []string {
	texts := []string{m.Name, m.Namespace}
	if m.Selector == nil {
		return texts
	}

	for _, value := range m.Selector.MatchLabels {
		texts = append(texts, value)
	}

	for _, e := range m.Selector.MatchExpressions {
		texts = append(texts, e.Values...)
	}

	return texts
}

func gather(texts []string, value any) []string {
	switch v := value.(type) {
	case string:
		texts = append(texts, v)
	case []any:
		for _, element := range v {
			texts = gather(texts, element)
		}
	case map[string]any:
		for _, inner := range v {
			texts = gather(texts, inner)
		}
	}

	return texts
}

// readsOf finds out what an expression reads. Types do not matter for that, so every variable may be anything.
func readsOf(g *graph.Graph, r *krov1alpha1.Resource, source string) []expr.Read {
	variables := []expr.Variable{{Name: "schema"}}
	for _, n := range g.Nodes {
		variables = append(variables, expr.Variable{Name: n.ID, List: n.Collection || n.Selector})
	}

	for _, list := range r.ForEach {
		for name := range list {
			variables = append(variables, expr.Variable{Name: name})
		}
	}

	env, err := expr.NewEnv(expr.Options{Omit: true}, variables...)
	if err != nil {
		return nil
	}

	program, err := env.Compile(source)
	if err != nil {
		return nil
	}

	return program.Reads()
}
