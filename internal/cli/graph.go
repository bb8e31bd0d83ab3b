package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/builtin"
	"github.com/lockstep-dev/lockstep/internal/graph/manifest"
)

// newGraph returns the verbs about resource graphs.
func newGraph(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Check, render, plan and explain resource graphs",
		Long: "Verbs about ResourceGraphDefinitions and their instances. All but plan and explain work without a cluster: " +
			"they know the built-in kinds, and others from CustomResourceDefinitions and from the definitions themselves.",
	}
	cmd.AddCommand(
		newGraphValidate(streams),
		newGraphRender(streams),
		newGraphPlan(streams, os.Getenv),
		newGraphDiagram(streams),
		newGraphExplain(streams, os.Getenv),
		newGraphRBAC(streams),
	)

	return cmd
}

// graphFiles are the flags that say where definitions and kinds are read from.
type graphFiles struct {
	streams     genericiooptions.IOStreams
	definitions []string
	crds        []string
	omit        bool
}

func newGraphFiles(streams genericiooptions.IOStreams, flags *pflag.FlagSet) *graphFiles {
	f := &graphFiles{streams: streams}
	flags.StringArrayVarP(&f.definitions, "filename", "f", nil,
		"file or folder with definitions, - for the standard input; may be repeated")
	flags.StringArrayVar(&f.crds, "crds", nil, "file or folder with CustomResourceDefinitions; may be repeated")
	flags.BoolVar(&f.omit, "omit-function", false, "admit the function omit() in expressions")

	return f
}

// read reads definitions and compiles them. Kinds that they do not make are looked up in base, nil for the built-in ones,
// and in the CustomResourceDefinitions in the files. The problems are those of reading alone.
func (f *graphFiles) read(base graph.Schemas) (*manifest.Set, []manifest.Problem, error) {
	if len(f.definitions) == 0 {
		return nil, nil, errors.New("no definition is given: use --filename (-f)")
	}

	documents, problems, err := f.documents(f.definitions)
	if err != nil {
		return nil, nil, err
	}

	more, wrong, err := f.documents(f.crds)
	if err != nil {
		return nil, nil, err
	}

	problems = append(problems, wrong...)

	crds, err := definitionsOfKinds(slices.Concat(more, documents))
	if err != nil {
		return nil, nil, err
	}

	own, err := definitionSchema()
	if err != nil {
		return nil, nil, err
	}

	switch {
	case base == nil:
		base = builtin.New(crds...)
	case len(crds) > 0:
		base = either{base, builtin.New(crds...)}
	}

	set := manifest.NewSet(documents, own, base, graph.Options{Omit: f.omit})
	if len(set.Definitions) == 0 && len(problems) == 0 {
		return nil, nil, fmt.Errorf("%w in %s", manifest.ErrNoDefinition, strings.Join(f.definitions, ", "))
	}

	return set, problems, nil
}

// either looks kinds up in the one and, if they are not known there, in the other.
type either struct{ one, other graph.Schemas }

// Kind returns what is known of a kind.
func (e either) Kind(gvk schema.GroupVersionKind) (*graph.Kind, error) {
	kind, err := e.one.Kind(gvk)
	if _, unknown := errors.AsType[*graph.UnknownKindError](err); unknown {
		return e.other.Kind(gvk)
	}

	return kind, err
}

// good reads definitions that must have no problem. Problems go to the error stream.
func (f *graphFiles) good(base graph.Schemas) (*manifest.Set, error) {
	set, problems, err := f.read(base)
	if err != nil {
		return nil, err
	}

	errs, _ := printProblems(f.streams.ErrOut, set.Problems(problems...))
	if errs > 0 {
		return nil, fmt.Errorf("the definitions have %s: see above", count(errs, "problem"))
	}

	return set, nil
}

// documents reads the objects in files and folders.
func (f *graphFiles) documents(paths []string) ([]*manifest.Document, []manifest.Problem, error) {
	var (
		documents []*manifest.Document
		problems  []manifest.Problem
	)

	for _, path := range paths {
		files, err := filesIn(path)
		if err != nil {
			return nil, nil, err
		}

		for _, file := range files {
			content, err := f.content(file)
			if err != nil {
				return nil, nil, err
			}

			if file == "-" {
				file = "stdin"
			}

			found, wrong := manifest.Read(file, content)
			documents, problems = append(documents, found...), append(problems, wrong...)
		}
	}

	return documents, problems, nil
}

func (f *graphFiles) content(file string) ([]byte, error) {
	if file != "-" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a file of --filename, --crds, --instance or --with: %w", err)
		}

		return content, nil
	}

	content, err := io.ReadAll(f.streams.In)
	if err != nil {
		return nil, fmt.Errorf("read the standard input: %w", err)
	}

	return content, nil
}

// filesIn is the file itself, or the manifests in the folder, sorted.
func filesIn(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}

	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("find what --filename, --crds, --instance or --with names: %w", err)
	}

	if !info.IsDir() {
		return []string{path}, nil
	}

	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("list the folder: %w", err)
	}

	var files []string

	for _, entry := range entries {
		if !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(entry.Name())) {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}

	return files, nil
}

// definitionsOfKinds are the CustomResourceDefinitions among the documents.
func definitionsOfKinds(documents []*manifest.Document) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	var crds []*apiextensionsv1.CustomResourceDefinition

	for _, d := range documents {
		if d.Object.GetKind() != "CustomResourceDefinition" {
			continue
		}

		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.Object.Object, crd); err != nil {
			return nil, fmt.Errorf("read the CustomResourceDefinition %s in %s: %w", d.Object.GetName(), d.File, err)
		}

		crds = append(crds, crd)
	}

	return crds, nil
}

// definitionSchema is the schema of definitions themselves.
func definitionSchema() (*apiextensionsv1.JSONSchemaProps, error) {
	content, err := config.Files.ReadFile("dialects/graph/crd/kro.run_resourcegraphdefinitions.yaml")
	if err != nil {
		return nil, fmt.Errorf("find the schema of definitions: %w", err)
	}

	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(content, crd); err != nil {
		return nil, fmt.Errorf("read the schema of definitions: %w", err)
	}

	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema, nil
}

// printProblems writes each problem, line by line, and returns how many are errors and how many are warnings.
func printProblems(w io.Writer, problems []manifest.Problem) (errs, warnings int) {
	slices.SortStableFunc(problems, func(a, b manifest.Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})

	for _, p := range problems {
		fmt.Fprintln(w, p.String())

		if p.Warning {
			warnings++
		} else {
			errs++
		}
	}

	return errs, warnings
}

// count is a number with its word.
func count(n int, word string) string {
	switch n {
	case 0:
		return "no " + word + "s"
	case 1:
		return "1 " + word
	}

	return fmt.Sprintf("%d %ss", n, word)
}

// titleOf names an object for people.
func titleOf(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}

// pick returns the definition of that name; without a name, the only one.
func pick(set *manifest.Set, name string) (*manifest.Definition, error) {
	names := make([]string, len(set.Definitions))

	for i, d := range set.Definitions {
		names[i] = d.Object.GetName()
		if names[i] == name || name == "" && len(set.Definitions) == 1 {
			return d, nil
		}
	}

	if name == "" {
		return nil, fmt.Errorf("the files have several definitions: choose with --name one of %s", strings.Join(names, ", "))
	}

	return nil, fmt.Errorf("--name %q: the files have %s", name, strings.Join(names, ", "))
}
