package manifest

import (
	"errors"
	"strings"
	"unicode/utf8"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// Problems are those of an error in which others may be joined, each where its path leads to.
func (d *Document) Problems(err error) []Problem {
	if err == nil {
		return nil
	}

	if several, ok := err.(interface{ Unwrap() []error }); ok {
		var problems []Problem
		for _, one := range several.Unwrap() {
			problems = append(problems, d.Problems(one)...)
		}

		return problems
	}

	located, ok := errors.AsType[*fieldpath.Error](err)
	if !ok {
		return []Problem{d.problem(d.root.Line, d.root.Column, err.Error())}
	}

	line, column := d.locate(located.Path, located.Expression, located.Offset)

	return []Problem{d.problem(line, column, located.Error())}
}

// locate returns the line and the column in the document of a value; with an expression, of the offset in it. What is
// not there is where it would have to be: at the key of the map that lacks it.
func (d *Document) locate(path fieldpath.Path, expression string, offset int) (line, column int) {
	key, value, found := d.find(path)

	switch {
	case !found || value.Kind != yamlv3.ScalarNode:
		return key.Line, key.Column
	case expression == "":
		return value.Line, value.Column
	}

	at := strings.Index(value.Value, expression)
	if at < 0 {
		return value.Line, value.Column
	}

	return d.within(value, at+max(offset, 0))
}

// find returns the node at a path and its key, or those of the nearest node above it that is there. An element of a
// list is its own key.
func (d *Document) find(path fieldpath.Path) (key, value *yamlv3.Node, found bool) {
	key, value = d.root, d.root

	for _, step := range path {
		if value.Kind == yamlv3.AliasNode {
			value = value.Alias
		}

		nextKey, next := child(value, step)
		if next == nil {
			return key, value, false
		}

		key, value = nextKey, next
	}

	if value.Kind == yamlv3.AliasNode {
		value = value.Alias
	}

	return key, value, true
}

func child(n *yamlv3.Node, step any) (key, value *yamlv3.Node) {
	switch s := step.(type) {
	case int:
		if n.Kind == yamlv3.SequenceNode && s >= 0 && s < len(n.Content) {
			return n.Content[s], n.Content[s]
		}
	case string:
		if n.Kind != yamlv3.MappingNode {
			return nil, nil
		}

		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i], n.Content[i+1]
			}
		}
	}

	return nil, nil
}

// within returns the place of an offset in a text. Where the notation does not tell, it is that of the text's start.
func (d *Document) within(n *yamlv3.Node, offset int) (line, column int) {
	line, column = n.Line, n.Column

	switch {
	case n.Style&yamlv3.LiteralStyle != 0:
		return d.withinBlock(n, offset)
	case n.Style&yamlv3.FoldedStyle != 0 || line > len(d.lines):
	case n.Style&(yamlv3.SingleQuotedStyle|yamlv3.DoubleQuotedStyle) != 0:
		if at, ok := unquoted([]rune(d.lines[line-1]), column, n, offset); ok {
			column = at
		}
	default:
		if at := after(d.lines[line-1], column); strings.HasPrefix(at, n.Value) {
			column += utf8.RuneCountInString(n.Value[:offset])
		}
	}

	return line, column
}

// after is what a line has from a column on.
func after(line string, column int) string {
	runes := []rune(line)

	return string(runes[min(column-1, len(runes)):])
}

// withinBlock does so in a text of which each line stands in a line of its own.
func (d *Document) withinBlock(n *yamlv3.Node, offset int) (line, column int) {
	before := n.Value[:offset]
	number := strings.Count(before, "\n")
	text := strings.Split(n.Value, "\n")[number]
	line = n.Line + 1 + number

	if line > len(d.lines) || !strings.HasSuffix(strings.TrimRight(d.lines[line-1], " \t"), strings.TrimRight(text, " \t")) {
		return n.Line, n.Column
	}

	indent := len(strings.TrimRight(d.lines[line-1], " \t")) - len(strings.TrimRight(text, " \t"))

	return line, indent + 1 + utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:])
}

// unquoted returns the column of an offset in a quoted text, if that stands in the line as far.
func unquoted(line []rune, column int, n *yamlv3.Node, offset int) (int, bool) {
	quote := '\''
	if n.Style&yamlv3.DoubleQuotedStyle != 0 {
		quote = '"'
	}

	value := n.Value

	// column is that of the quote, so that the text begins at the index of the same number.
	for i := column; i < len(line); i++ {
		if len(n.Value)-len(value) >= offset {
			return i + 1, true
		}

		r, size := utf8.DecodeRuneInString(value)

		switch {
		case quote == '\'' && line[i] == quote:
			i++
		case quote == '"' && line[i] == '\\':
			// The longer notations stand for one character too.
			i += 1 + map[rune]int{'x': 2, 'u': 4, 'U': 8}[at(line, i+1)]
		case line[i] != r:
			return 0, false
		}

		value = value[size:]
	}

	return 0, false
}

func at(line []rune, i int) rune {
	if i < len(line) {
		return line[i]
	}

	return 0
}
