package manifest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// Document is an object in a file. It is never changed and safe for concurrent use.
type Document struct {
	// File is the name of the file.
	File string
	// Object is what the server would be given.
	Object *unstructured.Unstructured

	// lines are those of the document, and before how many the file has before it.
	lines  []string
	before int
	root   *yamlv3.Node
}

// Problem is what is wrong in a file, or what will surprise.
type Problem struct {
	// File is the name of the file; Line and Column begin with 1, and a column is a character.
	File         string
	Line, Column int
	// Warning says that it is allowed.
	Warning bool
	// Message begins with the path of the field.
	Message string
	// Source is the line of the file.
	Source string
}

// String has the place, the message, the line and a caret under the column.
func (p Problem) String() string {
	var b strings.Builder

	b.WriteString(p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column) + ": ")

	if p.Warning {
		b.WriteString("warning: ")
	}

	b.WriteString(p.Message)

	if strings.TrimSpace(p.Source) == "" {
		return b.String()
	}

	const margin = "\n    "

	b.WriteString(margin + p.Source + margin)

	// A tab stays a tab, so that the caret stands under its character however wide a tab is shown.
	for i, r := range []rune(p.Source) {
		if i >= p.Column-1 {
			break
		}

		if r != '\t' {
			r = ' '
		}

		b.WriteRune(r)
	}

	b.WriteByte('^')

	return b.String()
}

// separator is the line between two documents.
var separator = regexp.MustCompile(`^---(\s.*)?$`)

// Read reads the documents of a file. Those without content are left out; what cannot be read is a problem.
func Read(file string, content []byte) ([]*Document, []Problem) {
	var (
		documents []*Document
		problems  []Problem
	)

	lines := strings.Split(strings.ReplaceAll(string(content), "\r\n", "\n"), "\n")

	for before := 0; before <= len(lines); {
		end := len(lines)
		if n := slices.IndexFunc(lines[before:], separator.MatchString); n >= 0 {
			end = before + n
		}

		d := &Document{File: file, lines: lines[before:end], before: before}
		if found := d.read(); len(found) > 0 {
			problems = append(problems, found...)
		} else if d.Object != nil {
			documents = append(documents, d)
		}

		before = end + 1
	}

	return documents, problems
}

// read reads the document's text. A document without content has no object afterwards.
func (d *Document) read() []Problem {
	text := []byte(strings.Join(d.lines, "\n"))

	var node yamlv3.Node
	if err := yamlv3.Unmarshal(text, &node); err != nil {
		return []Problem{d.unreadable(err)}
	}

	if len(node.Content) == 0 || node.Content[0].Tag == "!!null" {
		return nil
	}

	d.root = node.Content[0]
	if d.root.Kind != yamlv3.MappingNode {
		return []Problem{d.problem(d.root.Line, d.root.Column, "the document is no object")}
	}

	if twice := d.twice(d.root, nil); len(twice) > 0 {
		return twice
	}

	// What counts is how kubectl reads it, which is by the older of the two rules.
	object := map[string]any{}
	if err := yaml.Unmarshal(text, &object); err != nil {
		return []Problem{d.unreadable(err)}
	}

	// The decoder makes every number a float64; objects have whole numbers too.
	d.Object = &unstructured.Unstructured{}
	for key, value := range object {
		object[key] = whole(value)
	}

	d.Object.Object = object

	return nil
}

// whole makes integers of the numbers that are.
func whole(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = whole(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = whole(inner)
		}
	case float64:
		const exact = 1 << 53
		if n := int64(v); float64(n) == v && n > -exact && n < exact {
			return n
		}
	}

	return value
}

// inLine is how a decoder says where.
var inLine = regexp.MustCompile(`line (\d+): `)

func (d *Document) unreadable(err error) Problem {
	message, line := err.Error(), 1

	if match := inLine.FindStringSubmatch(message); match != nil {
		line, _ = strconv.Atoi(match[1])
		message = strings.Replace(message, match[0], "", 1)
	}

	return d.problem(line, 1, "not YAML: "+strings.TrimPrefix(strings.TrimPrefix(message, "error converting YAML to JSON: "), "yaml: "))
}

// twice finds keys that a map has twice.
func (d *Document) twice(n *yamlv3.Node, path fieldpath.Path) []Problem {
	var problems []Problem

	seen := map[string]bool{}

	for i, child := range n.Content {
		switch {
		case n.Kind == yamlv3.SequenceNode:
			problems = append(problems, d.twice(child, path.Child(i))...)
		case n.Kind != yamlv3.MappingNode || i%2 > 0:
		default:
			at := path.Child(child.Value)
			if seen[child.Value] {
				problems = append(problems, d.problem(child.Line, child.Column, at.String()+": the key is there twice"))
			}

			seen[child.Value] = true
			problems = append(problems, d.twice(n.Content[i+1], at)...)
		}
	}

	return problems
}

// problem is one at a line and a column of the document.
func (d *Document) problem(line, column int, message string) Problem {
	p := Problem{File: d.File, Line: d.before + line, Column: max(column, 1), Message: message}
	if line > 0 && line <= len(d.lines) {
		p.Source = d.lines[line-1]
	}

	return p
}
