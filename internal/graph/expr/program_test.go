package expr

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCostOfOneExpression(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{CostLimit: 100})

	const expensive = "lists.range(1000).map(x, x + 1)"

	_, err := compile(t, e, expensive).Eval(newValues(t, e), nil)

	var got *CostError
	if !errors.As(err, &got) {
		t.Fatalf("an expensive expression: %v (%T), want a *CostError", err, err)
	}

	if got.Expression != expensive || got.Limit != 100 || got.Cost <= 100 || got.Pass {
		t.Errorf("the error is %+v, want it to name the expression, the limit of 100 and a cost above", got)
	}

	if want := fmt.Sprintf("expression %q cost %d, over the limit of 100 for one expression", expensive, got.Cost); got.Error() != want {
		t.Errorf("the message is %q, want %q", got.Error(), want)
	}

	if _, err := compile(t, e, "vpc.kind + vpc.metadata.name").Eval(newValues(t, e), nil); err != nil {
		t.Errorf("a cheap expression: %v", err)
	}
}

func TestCostOfAPass(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})
	p := compile(t, e, "schema.spec.zones.map(z, z + '-')")
	v := newValues(t, e)
	b := NewBudget(100)

	var got *CostError

	for range 100 {
		if _, err := p.Eval(v, b); err != nil {
			if !errors.As(err, &got) {
				t.Fatalf("%v (%T), want a *CostError", err, err)
			}

			break
		}
	}

	if got == nil || !got.Pass || got.Limit != 100 || got.Cost <= 100 || got.Cost != b.Spent() {
		t.Fatalf("after a hundred evaluations the error is %+v, spent %d; want the pass' limit of 100 exceeded", got, b.Spent())
	}

	if _, err := compile(t, e, "1").Eval(v, b); !errors.As(err, &got) || b.Spent() != got.Cost {
		t.Errorf("with the budget spent: %v, want a *CostError and nothing evaluated", err)
	}

	if _, err := p.Eval(v, NewBudget(0)); err != nil {
		t.Errorf("a budget of 0 has no limit, but: %v", err)
	}
}

func TestOwnFunctionsCostWhatTheyGoThrough(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})

	for _, source := range []string{
		"random.seededString(100000, 'a')",
		"json.marshal(lists.range(10000)).size()",
		"lists.range(100000).size() + lists.insertAtIndex(lists.range(10000), 0, 1).size()",
	} {
		b := NewBudget(0)
		if _, err := compile(t, e, source).Eval(newValues(t, e), b); err != nil {
			t.Fatal(err)
		}

		if b.Spent() < 1000 {
			t.Errorf("%q costs %d, want a thousand or more", source, b.Spent())
		}
	}
}

func TestOmit(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{Omit: true})
	p := compile(t, e, "schema.spec.enabled ? omit() : 'x'")

	if !p.Omits() {
		t.Error("§4.3 an expression with omit() does not say so")
	}

	if compile(t, e, "'omit()'").Omits() {
		t.Error("§4.3 an expression without omit() says that it calls it")
	}

	cases := map[string]any{
		"schema.spec.enabled ? omit() : 'x'": Omitted{},
		"{'a': omit(), 'b': 1}":              jsonMap{"b": int64(1)},
	}
	for source, want := range cases {
		got, err := compile(t, e, source).Eval(newValues(t, e), nil)
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("§4.3 %q (-want +got):\n%s", source, diff)
		}
	}
}

func TestBytesAsBase64(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})
	p := compile(t, e, "{'copy': secret.data.password, 'new': b'x'}")

	got, err := p.AsBase64().Eval(newValues(t, e), nil)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(jsonMap{"copy": "aHVudGVyMg==", "new": "eA=="}, got); diff != "" {
		t.Errorf("§4.5 (-want +got):\n%s", diff)
	}

	if _, err := p.Eval(newValues(t, e), nil); err == nil {
		t.Error("§4.5 the program itself has changed, want raw bytes to be an error")
	}
}

func TestNoErrorOfADiscreetProgramHoldsAValue(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})

	for _, source := range []string{
		"int(string(secret.data.password))",
		"{'a': 1}[string(secret.data.password)]",
		"timestamp(string(secret.data.password))",
		"secret.data.map(k, string(secret.data[k])).map(p, int(p))",
		"json.unmarshal(string(secret.data.password))",
		"'x'.matches(string(secret.data.password) + '(')",
	} {
		_, err := compile(t, e, source).Discreet().Eval(newValues(t, e), nil)
		if err == nil {
			t.Errorf("%q succeeds, want an error", source)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error tells the password: %v", source, err)
		}
	}

	bad := newValues(t, e)
	bad.Set("secret", decode(t, `{"kind":"Secret","data":{"password":"hunter2!"}}`))

	if _, err := compile(t, e, "string(secret.data.password)").Discreet().Eval(bad, nil); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("base64 that is none: %v, want an error without it", err)
	}
}

func TestIterators(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})
	v := newValues(t, e)

	cases := map[string]struct {
		list, source string
		want         []any
	}{
		"§3.6 of objects":               {"vpc.status.subnets", "it.id + it.?zone.orValue('')", []any{"s-1a", "s-2b"}},
		"§3.6 of strings":               {"schema.spec.zones", "it + '!'", []any{"a!", "b!"}},
		"§3.6 of integers":              {"lists.range(2)", "it + 1", []any{int64(1), int64(2)}},
		"§3.6 of timestamps":            {"[vpc.status.created]", "it.getFullYear()", []any{int64(2024)}},
		"§3.6 of a collection":          {"vpcs", "it.metadata.resourceVersion", []any{"17", "17"}},
		"§3.6 of lists":                 {"[schema.spec.zones]", "it[1]", []any{"b"}},
		"§3.6 of unknown types":         {"schema.spec.extra.list", "it.y", []any{"z"}},
		"§3.6 of optionals":             {"[vpc.status.?subnetID]", "it + ''", []any{"subnet-1"}},
		"§3.6 with another variable":    {"schema.spec.zones", "it + vpc.kind", []any{"aVPC", "bVPC"}},
		"§3.6 an iterator hides a name": {"schema.spec.zones", "[1].map(it, it)[0]", []any{int64(1), int64(1)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			list := compile(t, e, c.list)

			elem := list.Type().Elem()
			if elem == nil {
				elem = list.Type()
			}

			with, err := e.With(Variable{Name: "it", Type: elem})
			if err != nil {
				t.Fatal(err)
			}

			p := compile(t, with, c.source)

			all, err := list.Eval(v, nil)
			if err != nil {
				t.Fatal(err)
			}

			elements, ok := all.([]any)
			if !ok {
				t.Fatalf("%q is %T, want a list", c.list, all)
			}

			var got []any

			for _, element := range elements {
				one, err := p.Eval(v.With("it", element), nil)
				if err != nil {
					t.Fatal(err)
				}

				got = append(got, one)
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q over %q (-want +got):\n%s", c.source, c.list, diff)
			}
		})
	}

	if _, err := e.Compile("it"); err == nil {
		t.Error("§4.2 an iterator is known outside of its resource")
	}
}

func TestResultsShareNothingWithTheValues(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})
	v := e.Values()
	vpc := decode(t, vpcJSON)
	v.Set("vpc", vpc)

	for _, source := range []string{"vpc.status", "vpc.status.subnets", "[vpc.status]", "{'a': vpc.status.subnets}", "vpc.status.subnets.filter(s, true)"} {
		got, err := compile(t, e, source).Eval(v, nil)
		if err != nil {
			t.Fatal(err)
		}

		ruin(got)
	}

	if diff := cmp.Diff(decode(t, vpcJSON), vpc); diff != "" {
		t.Errorf("changing results has changed the object (-want +got):\n%s", diff)
	}
}

func ruin(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			ruin(below)
			v[key] = "ruined"
		}
	case []any:
		for i, below := range v {
			ruin(below)
			v[i] = "ruined"
		}
	}
}

func TestIdentifiersOfResourcesThatAreCalledLikeTypes(t *testing.T) {
	t.Parallel()

	got, err := Identifiers("list.kind + string(map.kind)", "list")
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff([]string{"list"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	e, err := NewEnv(Options{}, Variable{Name: "list", Schema: schemaOf(t, "vpc")})
	if err != nil {
		t.Fatal(err)
	}

	v := e.Values()
	v.Set("list", decode(t, vpcJSON))

	p := compile(t, e, "list.kind")
	if value, err := p.Eval(v, nil); err != nil || value != "VPC" {
		t.Errorf("list.kind = %v, %v; want VPC", value, err)
	}

	if diff := cmp.Diff([]string{"list"}, p.Variables()); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
}

func TestAProgramIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})
	p := compile(t, e, "dyn(vpc.status.subnets).map(s, s.id)[0] + vpc.metadata.name")

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			v := newValues(t, e)
			for range 50 {
				if got, err := p.Eval(v, nil); err != nil || got != "s-1net" {
					t.Errorf("got %v, %v", got, err)
				}

				if _, err := e.Compile("vpc.status.subnetID + schema.spec.name"); err != nil {
					t.Error(err)
				}
			}
		})
	}

	all.Wait()
}

// dense declares n resources; each reads a field of all before it.
func dense(t testing.TB, n int) (*Env, []string) {
	t.Helper()

	vpc := schemaOf(t, "vpc")
	variables := []Variable{{Name: "schema", Schema: schemaOf(t, "instance")}}

	var sources []string

	for i := range n {
		for j := range i {
			sources = append(sources, fmt.Sprintf("r%d.status.subnets[0].id + r%d.metadata.name + '-%d'", j, j, i))
		}

		variables = append(variables, Variable{Name: fmt.Sprintf("r%d", i), Schema: vpc})
	}

	e, err := NewEnv(Options{}, variables...)
	if err != nil {
		t.Fatal(err)
	}

	return e, sources
}

func TestDenseGraphsDeclareASchemaOnce(t *testing.T) {
	t.Parallel()

	types := map[int]int{}

	for _, n := range []int{2, 30} {
		e, sources := dense(t, n)
		for _, source := range sources {
			compile(t, e, source)
		}

		types[n] = len(e.family.objects)
	}

	if types[2] != types[30] {
		t.Errorf("two resources of a kind need %d types, thirty need %d; want the same", types[2], types[30])
	}
}

func TestDenseGraphsCompileInLinearTime(t *testing.T) {
	// What one expression allocates must not grow with the number of variables or of expressions before it.
	perExpression := func(n int) float64 {
		e, sources := dense(t, n)
		source := sources[len(sources)-1]

		return testing.AllocsPerRun(20, func() {
			if _, err := e.compile(source); err != nil {
				t.Fatal(err)
			}
		})
	}

	few, many := perExpression(3), perExpression(30)
	if many > few*1.2 {
		t.Errorf("an expression allocates %.0f times among 3 resources and %.0f times among 30; want about the same", few, many)
	}
}

func TestTheSameSourceIsCompiledOnce(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})
	once := compile(t, e, "vpc.kind")
	if compile(t, e, "vpc.kind") != once {
		t.Error("two compilations of a source have made two programs, want one")
	}

	with, err := e.With(Variable{Name: "it"})
	if err != nil {
		t.Fatal(err)
	}

	if compile(t, with, "vpc.kind") == once {
		t.Error("two environments share a program, want one each")
	}
}

func BenchmarkCompileDense(b *testing.B) {
	for _, n := range []int{10, 30} {
		b.Run(fmt.Sprintf("resources=%d", n), func(b *testing.B) {
			var expressions int

			for b.Loop() {
				e, sources := dense(b, n)
				for _, source := range sources {
					compile(b, e, source)
				}

				expressions = len(sources)
			}

			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(expressions), "ns/expression")
		})
	}
}

func BenchmarkEval(b *testing.B) {
	for name, source := range map[string]string{
		"template":      "'arn:' + vpc.status.subnetID + ':' + schema.spec.name",
		"comprehension": "vpc.status.subnets.map(s, s.id + schema.spec.name)",
		"object":        "schema.spec.ports",
	} {
		b.Run(name, func(b *testing.B) {
			e := newEnv(b, Options{})
			p := compile(b, e, source)
			instance, vpc := decode(b, instanceJSON), decode(b, vpcJSON)

			b.ReportAllocs()

			for b.Loop() {
				v := e.Values()
				v.Set("schema", instance)
				v.Set("vpc", vpc)

				if _, err := p.Eval(v, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzCompileAndEval(f *testing.F) {
	for _, seed := range []string{
		"vpc.status.subnetID", "schema.spec.in", "vpc.status.subnets.map(s, s.id)", "'${' + vpc.kind", "a.`in`.in", "has(vpc.a)",
		"cel.bind(x, vpc, x)", "runtime.newCondition({type: 'A', status: 'True'})", "dyn(vpc).deepMerge(schema)", "lists.setAtIndex([1], 9, 1)",
		"json.unmarshal(json.marshal(vpc))", "{1: omit()}", "vpc.?status[?'x']", "unschemed.a.b['c'][0]", "timestamp('x') - duration('1s')", "\"\\", "r'''",
	} {
		f.Add(seed)
	}

	base, err := newEnv(f, Options{Omit: true, CostLimit: 10_000}).WithConditions()
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, source string) {
		if text := escape(source); text.original(len(text.source)) != len(source) {
			t.Errorf("the end of %q is lost", source)
		}

		p, err := base.Compile(source)
		if err != nil {
			var wrong *Error
			if !errors.As(err, &wrong) || wrong.Offset < 0 || wrong.Offset > len(source) || strings.Contains(wrong.Message, "\n") {
				t.Errorf("Compile(%q) = %#v", source, err)
			}

			return
		}

		_ = p.Type().JSONSchema()
		_ = p.Type().Fits(ObjectMeta())
		_, failure := p.Eval(newValues(t, base), nil)
		_, _ = p.Eval(base.Values(), nil)

		if failure != nil && strings.Contains(failure.Error(), "internal error") {
			t.Errorf("Eval(%q) has panicked: %v", source, failure)
		}
	})
}
