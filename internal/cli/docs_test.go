package cli_test

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/cli"
	"github.com/lockstep-dev/lockstep/internal/configuration"
	"github.com/lockstep-dev/lockstep/internal/reload"
)

// documents reads every Markdown document that people are given, by its path in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()

	root := os.DirFS("../..")
	paths := []string{"README.md", "CONTRIBUTING.md"}

	err := fs.WalkDir(root, "docs", func(p string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(p, ".md") {
			paths = append(paths, p)
		}

		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	found := map[string]string{}

	for _, p := range paths {
		text, err := fs.ReadFile(root, p)
		if err != nil {
			t.Fatal(err)
		}

		found[p] = string(text)
	}

	return found
}

// blocks are the code blocks of one language in a document.
func blocks(text, language string) []string {
	var found []string

	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}

	return found
}

func command() *cobra.Command {
	return cli.New(genericiooptions.NewTestIOStreamsDiscard(), nil)
}

func TestEveryCommandThatTheDocumentsShowParses(t *testing.T) {
	t.Parallel()

	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}

	shown := 0

	for file, text := range documents(t) {
		for _, block := range blocks(text, "sh") {
			for line := range strings.Lines(block) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
				line, _, _ = strings.Cut(line, " | ")
				words := strings.Fields(line)

				switch {
				case len(words) == 0:
				case words[0] == "make":
					for _, target := range words[1:] {
						if !strings.Contains(target, "=") && !strings.Contains(string(makefile), "\n"+target+":") {
							t.Errorf("%s: %q: the Makefile has no target %s", file, line, target)
						}
					}
				case words[0] == "lockstep" || words[0] == "bin/lockstep":
					shown++

					if err := parse(words[1:]); err != nil {
						t.Errorf("%s: %q: %v", file, line, err)
					}
				}
			}
		}
	}

	if shown == 0 {
		t.Error("the documents show no command at all: is the language of their blocks still sh?")
	}
}

func parse(words []string) error {
	cmd, rest, err := command().Find(words)
	if err != nil {
		return err
	}

	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}

	return cmd.ValidateArgs(cmd.Flags().Args())
}

// TestTheReferenceNamesEveryCommandAndFlag compares docs/reference/cli.md with the commands, in both directions.
func TestTheReferenceNamesEveryCommandAndFlag(t *testing.T) {
	t.Parallel()

	flag := regexp.MustCompile("`--([A-Za-z-]+)`")
	sections := map[string][]string{}

	for section := range strings.SplitSeq(documents(t)["docs/reference/cli.md"], "\n## ") {
		title, body, _ := strings.Cut(section, "\n")
		if !strings.HasPrefix(title, "lockstep ") {
			continue
		}

		sections[title] = []string{}
		for _, match := range flag.FindAllStringSubmatch(body, -1) {
			sections[title] = append(sections[title], match[1])
		}
	}

	for _, cmd := range runnable(command()) {
		documented, ok := sections[cmd.CommandPath()]
		delete(sections, cmd.CommandPath())

		if !ok {
			t.Errorf("%s has no section", cmd.CommandPath())

			continue
		}

		cmd.Flags().AddFlagSet(cmd.InheritedFlags())
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" && !slices.Contains(documented, f.Name) {
				t.Errorf("%s: --%s is not documented", cmd.CommandPath(), f.Name)
			}
		})

		for _, name := range documented {
			if cmd.Flags().Lookup(name) == nil {
				t.Errorf("%s: --%s is documented and does not exist", cmd.CommandPath(), name)
			}
		}
	}

	for title := range sections {
		t.Errorf("%s is documented and does not exist", title)
	}
}

func runnable(cmd *cobra.Command) []*cobra.Command {
	var found []*cobra.Command

	if cmd.Runnable() && !cmd.Hidden {
		found = append(found, cmd)
	}

	for _, sub := range cmd.Commands() {
		found = append(found, runnable(sub)...)
	}

	return found
}

func TestTheReferenceNamesEveryField(t *testing.T) {
	t.Parallel()

	var documented []string

	row := regexp.MustCompile("(?m)^\\| `([A-Za-z.]+)` \\|")
	for _, match := range row.FindAllStringSubmatch(documents(t)["docs/reference/configuration.md"], -1) {
		documented = append(documented, match[1])
	}

	existing := fields(reflect.TypeFor[configv1alpha1.LockstepConfiguration](), "")

	for _, name := range existing {
		if !slices.Contains(documented, name) {
			t.Errorf("%s is not documented", name)
		}
	}

	for _, name := range documented {
		if !slices.Contains(existing, name) {
			t.Errorf("%s is documented and does not exist", name)
		}
	}
}

// fields are the paths of the fields that a file may set.
func fields(t reflect.Type, prefix string) []string {
	var paths []string

	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")

		switch {
		case name == "": // kind and apiVersion
		case f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == t.PkgPath():
			paths = append(paths, fields(f.Type, prefix+name+".")...)
		default:
			paths = append(paths, prefix+name)
		}
	}

	return paths
}

func TestTheReferenceNamesEveryAnnotation(t *testing.T) {
	t.Parallel()

	text := documents(t)["docs/reference/annotations.md"]
	keys := []string{reload.MinIntervalKey, reload.FilterKey, reload.CarriedKey, reload.ContentKey}

	for _, key := range reflect.ValueOf(reload.DefaultKeys()).Fields() {
		keys = append(keys, key.String())
	}

	keys = append(keys, keysOfGraphs(t)...)

	for _, key := range keys {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("%s is not documented", key)
		}
	}
}

// keysOfGraphs are the labels, annotations, finalizers and field owners in the code of the graph dialect.
func keysOfGraphs(t *testing.T) []string {
	t.Helper()

	var keys []string

	quoted := regexp.MustCompile(`"((?:[a-z.]+\.)?(?:kro\.run|lockstep\.dev)/[a-z-]+|(?:app|applyset)\.kubernetes\.io/[a-z-]+)"`)

	for _, folder := range []string{"../graph", "../graph/applyset", "../controller/graph"} {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}

		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}

			for _, match := range quoted.FindAllStringSubmatch(string(source), -1) {
				if !strings.HasSuffix(file, "_test.go") {
					keys = append(keys, match[1])
				}
			}
		}
	}

	if !slices.Contains(keys, "lockstep.dev/applied") {
		t.Error("the keys of graphs were not found: are they still in these folders?")
	}

	return keys
}

func TestTheReferenceNamesEveryMetric(t *testing.T) {
	t.Parallel()

	existing := map[string]string{}

	for _, file := range []string{"exposition.golden", "graph.golden", "live.golden"} {
		golden, err := os.ReadFile("../telemetry/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}

		for line := range strings.Lines(string(golden)) {
			if words := strings.Fields(line); len(words) > 1 {
				existing[words[0]] = words[1]
			}
		}
	}

	documented := map[string]string{}

	row := regexp.MustCompile("(?m)^\\| `((?:lockstep|reloader|instance|rgd)_[a-z_]+)` \\| ([a-z]+) \\|")
	for _, match := range row.FindAllStringSubmatch(documents(t)["docs/reference/metrics.md"], -1) {
		documented[match[1]] = match[2]
	}

	if !maps.Equal(existing, documented) {
		t.Errorf("metrics: documented are %v, existing are %v", documented, existing)
	}
}

func TestEveryManifestThatTheDocumentsShowIsValid(t *testing.T) {
	t.Parallel()

	for file, text := range documents(t) {
		for _, block := range blocks(text, "yaml") {
			for document := range strings.SplitSeq(block, "\n---\n") {
				if err := check(document); err != nil {
					t.Errorf("%s: %v in\n%s", file, err, document)
				}
			}
		}
	}
}

func check(document string) error {
	var object map[string]any
	if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
		return err
	}

	if object["kind"] != configv1alpha1.Kind {
		return nil
	}

	c, err := configuration.Parse([]byte(document))
	if err != nil {
		return err
	}

	c.Namespace = "ops"
	configuration.Default(c)

	for _, problem := range configuration.Validate(c) {
		return problem
	}

	return nil
}

func TestEveryLinkBetweenDocumentsLeadsSomewhere(t *testing.T) {
	t.Parallel()

	link := regexp.MustCompile(`\]\(([^)#:]*)(#[^):]*)?\)`)
	all := documents(t)

	for file, text := range all {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			to := path.Join(path.Dir(file), match[1])
			if match[1] == "" {
				to = file
			}

			if _, err := os.Stat(path.Join("../..", to)); err != nil {
				t.Errorf("%s: link to %s: %v", file, match[1], err)

				continue
			}

			if anchor := strings.TrimPrefix(match[2], "#"); anchor != "" && !slices.Contains(anchors(all[to]), anchor) {
				t.Errorf("%s: %s has no heading #%s", file, to, anchor)
			}
		}
	}
}

// anchors are the names by which a document's headings are linked to.
func anchors(text string) []string {
	var found []string

	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(match[1]), "")
		found = append(found, strings.ReplaceAll(name, " ", "-"))
	}

	return found
}
