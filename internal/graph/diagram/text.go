package diagram

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Text writes the diagram for a terminal: a line for each resource, with its layer and what it reads.
func (d *Diagram) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)

	fmt.Fprintf(t, "%s: %s\n\n", d.Title, d.Kind)
	fmt.Fprintln(t, "LAYER\tID\tKIND\tIS\tREADS")

	for number, layer := range d.layers() {
		for _, i := range layer {
			n := &d.Nodes[i]

			var from []string

			for _, e := range d.into(n.ID) {
				from = append(from, readsText(e))
			}

			fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", number+1, n.ID, n.Kind, dash(strings.Join(n.traits(), " ")), dash(strings.Join(from, "; ")))
		}
	}

	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the diagram: %w", err)
	}

	return nil
}

func readsText(e Edge) string {
	if len(e.Fields) == 0 {
		return e.From
	}

	return e.From + ": " + strings.Join(e.Fields, ", ")
}

func dash(text string) string {
	if text == "" {
		return "-"
	}

	return text
}

// DOT writes the diagram in the language of Graphviz.
func (d *Diagram) DOT(w io.Writer) error {
	var b strings.Builder

	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR\n  label=%s\n", strconv.Quote(d.Title), strconv.Quote(d.Title+": "+d.Kind))
	b.WriteString("  node [shape=box fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\" fontsize=10]\n")

	for _, layer := range d.layers() {
		b.WriteString("  { rank=same\n")

		for _, i := range layer {
			n := &d.Nodes[i]
			fmt.Fprintf(&b, "    %s [label=%s%s]\n", strconv.Quote(n.ID), strconv.Quote(n.ID+"\n"+n.Kind), n.look())
		}

		b.WriteString("  }\n")
	}

	for _, e := range d.Edges {
		fmt.Fprintf(&b, "  %s -> %s", strconv.Quote(e.From), strconv.Quote(e.To))

		if label := e.label(); label != "" {
			fmt.Fprintf(&b, " [label=%s]", strconv.Quote(label))
		}

		b.WriteByte('\n')
	}

	b.WriteString("}\n")

	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the diagram: %w", err)
	}

	return nil
}

// look is what tells a node apart.
func (n *Node) look() string {
	var (
		attributes string
		styles     []string
	)

	if n.External {
		attributes += " shape=cylinder"
	}

	if n.Collection {
		attributes += " peripheries=2"
	}

	if n.Conditional {
		styles = append(styles, "dashed")
	}

	if n.Gated {
		styles = append(styles, "bold")
	}

	if len(styles) > 0 {
		attributes += fmt.Sprintf(" style=%q", strings.Join(styles, ","))
	}

	return attributes
}
