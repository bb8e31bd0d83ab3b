package diagram

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// style follows the reader's choice of light or dark. It has no variables: not every viewer knows them.
const style = `
    text { font: 12px ui-monospace, monospace; fill: #1f2328; text-anchor: middle }
    .title { font-size: 14px; font-weight: bold; text-anchor: start }
    .paper { fill: #ffffff }
    .kind, .edge-label { fill: #59636e }
    .edge-label { font-size: 10px; stroke: #ffffff; stroke-width: 4px; paint-order: stroke }
    .node { fill: #f6f8fa; stroke: #8c959f; stroke-width: 1.5px }
    .external { fill: #ddf4ff }
    .conditional { stroke-dasharray: 5 4 }
    .gated { stroke-width: 3px }
    .edge { fill: none; stroke: #8c959f; stroke-width: 1.2px; marker-end: url(#arrow) }
    .arrow { fill: #8c959f }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .paper { fill: #0d1117 }
      .kind, .edge-label { fill: #9198a1 }
      .edge-label { stroke: #0d1117 }
      .node { fill: #151b23; stroke: #656c76 }
      .external { fill: #121d2f }
      .edge { stroke: #656c76 }
      .arrow { fill: #656c76 }
    }
`

// SVG writes the diagram as a picture. External resources are round, collections have a second sheet behind them,
// conditional ones a broken border, and those with readyWhen a thick one.
func (d *Diagram) SVG(w io.Writer) error {
	l := d.layout()

	var b strings.Builder

	title := d.Title + ": " + d.Kind
	l.width = max(l.width, 2*margin+8*utf8.RuneCountInString(title))

	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n",
		l.width, l.height, l.width, l.height)
	fmt.Fprintf(&b, "  <title>%s</title>\n  <style>%s  </style>\n", escape(title), style)
	b.WriteString("  <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" " +
		"orient=\"auto\"><path class=\"arrow\" d=\"M0 0 8 4 0 8z\"/></marker></defs>\n")
	fmt.Fprintf(&b, "  <rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", l.width, l.height)
	fmt.Fprintf(&b, "  <text class=\"title\" x=\"%d\" y=\"%d\">%s</text>\n", margin, margin+14, escape(title))

	for _, route := range l.routes {
		fmt.Fprintf(&b, "  <path class=\"edge\" d=\"%s\"/>\n", line(route))
	}

	for _, layer := range l.layers {
		for _, p := range layer {
			if p.node >= 0 {
				d.Nodes[p.node].draw(&b, p)
			}
		}
	}

	d.labels(&b, l)
	b.WriteString("</svg>\n")

	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the diagram: %w", err)
	}

	return nil
}

// line is the way of an edge: straight past a layer, bent between two.
func line(route []*place) string {
	var b strings.Builder

	for i, p := range route[1:] {
		from := route[i]
		left, right := from.x+from.width, p.x
		middle := (left + right) / 2

		if i == 0 {
			fmt.Fprintf(&b, "M%d %d", left, from.y)
		}

		fmt.Fprintf(&b, " C%d %d %d %d %d %d", middle, from.y, middle, p.y, right, p.y)

		if p.node < 0 {
			fmt.Fprintf(&b, " H%d", p.x+p.width)
		}
	}

	return b.String()
}

func (n *Node) draw(b *strings.Builder, p *place) {
	classes := []string{"node"}

	for _, c := range []struct {
		has  bool
		name string
	}{{n.External, "external"}, {n.Conditional, "conditional"}, {n.Gated, "gated"}} {
		if c.has {
			classes = append(classes, c.name)
		}
	}

	class := strings.Join(classes, " ")

	const sheet = 5 // how far the sheet behind stands out

	corner := 6
	if n.External {
		corner = p.height / 2
	}

	fmt.Fprintf(b, "  <g><title>%s</title>\n", escape(strings.Join(append([]string{n.ID, n.Kind}, n.traits()...), ", ")))

	top := p.y - p.height/2
	if n.Collection {
		fmt.Fprintf(b, "    <rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"%d\"/>\n", class, p.x+sheet, top-sheet, p.width-sheet, p.height, corner)
	}

	fmt.Fprintf(b, "    <rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"%d\"/>\n", class, p.x, top, p.width, p.height, corner)
	fmt.Fprintf(b, "    <text x=\"%d\" y=\"%d\">%s</text>\n", p.x+p.width/2, p.y-4, escape(n.ID))
	fmt.Fprintf(b, "    <text class=\"kind\" x=\"%d\" y=\"%d\">%s</text>\n  </g>\n", p.x+p.width/2, p.y+14, escape(n.Kind))
}

// labels writes what the edges read, each label where none is yet.
func (d *Diagram) labels(b *strings.Builder, l *layout) {
	type box struct{ left, right, y int }

	var taken []box

	const high = 12

	for i := range d.Edges {
		label := d.Edges[i].label()
		if label == "" {
			continue
		}

		from, to := l.routes[i][0], l.routes[i][1]
		x, y := (from.x+from.width+to.x)/2, (from.y+to.y)/2+4
		half := labelText * utf8.RuneCountInString(label) / 2

		for j := 0; j < len(taken); j++ {
			if t := taken[j]; x-half < t.right && x+half > t.left && y < t.y+high && y > t.y-high {
				y, j = t.y+high, -1
			}
		}

		taken = append(taken, box{x - half, x + half, y})
		fmt.Fprintf(b, "  <text class=\"edge-label\" x=\"%d\" y=\"%d\">%s</text>\n", x, y, escape(label))
	}
}

func escape(text string) string {
	var b strings.Builder

	_ = xml.EscapeText(&b, []byte(text))

	return b.String()
}
