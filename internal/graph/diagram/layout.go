package diagram

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// Sizes in the units of the drawing, which are pixels unless it is scaled.
const (
	margin     = 20
	nodeHeight = 46
	nodeGap    = 22
	laneHeight = 16 // of an edge that passes a layer
	layerGap   = 60 // at least; labels may need more
	letter     = 7  // of the text in a node, 12 high
	smallest   = 90
	labelText  = 6 // of a label's letter, 10 high
	headline   = 40
)

// place is where something stands in a layer: a node, or the passage of an edge that leads to a later layer.
type place struct {
	node          int // index of the node; -1 for a passage
	x, y          int // the left end and the middle
	width, height int
	before        []*place // in the layer before
	order         float64
}

// layout is where everything stands.
type layout struct {
	layers        [][]*place
	routes        [][]*place // by edge: from the node, through passages, to the node
	width, height int
}

func (d *Diagram) layout() *layout {
	l := &layout{layers: make([][]*place, len(d.layers()))}
	nodes := map[string]*place{}

	for i := range d.Nodes {
		n := &d.Nodes[i]
		wide := letter*max(utf8.RuneCountInString(n.ID), utf8.RuneCountInString(n.Kind)) + margin
		p := &place{node: i, width: max(wide, smallest), height: nodeHeight}
		nodes[n.ID] = p
		l.layers[n.Layer] = append(l.layers[n.Layer], p)
	}

	for _, e := range d.Edges {
		l.routes = append(l.routes, l.route(nodes[e.From], nodes[e.To], d))
	}

	l.order()
	l.measure(d)

	return l
}

// route leads an edge through every layer between its ends.
func (l *layout) route(from, to *place, d *Diagram) []*place {
	route := []*place{from}

	for layer := d.Nodes[from.node].Layer + 1; layer < d.Nodes[to.node].Layer; layer++ {
		passage := &place{node: -1, height: laneHeight, before: []*place{route[len(route)-1]}}
		l.layers[layer] = append(l.layers[layer], passage)
		route = append(route, passage)
	}

	to.before = append(to.before, route[len(route)-1])

	return append(route, to)
}

// order puts what belongs together beside each other, layer by layer, so that few edges cross.
func (l *layout) order() {
	for _, layer := range l.layers {
		for _, p := range layer {
			for _, b := range p.before {
				p.order += b.order / float64(len(p.before))
			}
		}

		slices.SortStableFunc(layer, func(a, b *place) int { return cmp.Compare(a.order, b.order) })

		for i, p := range layer {
			p.order = float64(i) / float64(len(layer))
		}
	}
}

// measure gives everything its place.
func (l *layout) measure(d *Diagram) {
	heights := make([]int, len(l.layers))

	for i, layer := range l.layers {
		heights[i] = -nodeGap
		for _, p := range layer {
			heights[i] += p.height + nodeGap
		}

		l.height = max(l.height, heights[i])
	}

	x := margin

	for i, layer := range l.layers {
		wide := 0
		for _, p := range layer {
			wide = max(wide, p.width)
		}

		y := margin + headline + (l.height-heights[i])/2

		for _, p := range layer {
			p.x, p.y, p.width = x, y+p.height/2, wide
			y += p.height + nodeGap
		}

		x += wide + l.gap(d, i)
	}

	l.width = x - l.gap(d, len(l.layers)-1) + margin
	l.height += headline + 2*margin
}

// gap is the room between a layer and the next: enough for the labels of the edges that begin there.
func (l *layout) gap(d *Diagram, layer int) int {
	wide := 0

	for i := range d.Edges {
		if from := l.routes[i][0]; d.Nodes[from.node].Layer == layer {
			wide = max(wide, labelText*utf8.RuneCountInString(d.Edges[i].label()))
		}
	}

	return layerGap + wide
}
