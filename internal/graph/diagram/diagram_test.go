package diagram

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chain is a diagram in which every node depends on all before it.
func chain(n int) *Diagram {
	d := &Diagram{Title: "<chain>", Kind: "Chain & Co"}

	for i := range n {
		d.Nodes = append(d.Nodes, Node{ID: fmt.Sprintf("n%d", i), Kind: "ConfigMap v1", Layer: i, External: i == 0, Collection: i == 1})
		for j := range i {
			d.Edges = append(d.Edges, Edge{From: fmt.Sprintf("n%d", j), To: fmt.Sprintf("n%d", i), Fields: []string{"metadata.name"}})
		}
	}

	return d
}

func TestSVGIsWellFormedAndTheSameEachTime(t *testing.T) {
	t.Parallel()

	var first, second bytes.Buffer
	if err := errors.Join(chain(30).SVG(&first), chain(30).SVG(&second)); err != nil {
		t.Fatal(err)
	}

	if first.String() != second.String() {
		t.Error("two drawings of one graph differ")
	}

	decoder, paths := xml.NewDecoder(&first), 0

	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}

		if err != nil {
			t.Fatal(err)
		}

		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "path" {
			paths++
		}
	}

	if want := 30*29/2 + 1; paths != want { // the edges and the head of their arrows
		t.Errorf("got %d paths, want %d", paths, want)
	}
}

func TestLayoutLeavesRoom(t *testing.T) {
	t.Parallel()

	d := chain(6)
	l := d.layout()

	for number, layer := range l.layers {
		bottom := 0

		for _, p := range layer {
			if top := p.y - p.height/2; top < bottom {
				t.Errorf("layer %d: something at %d is over what ends at %d", number, top, bottom)
			}

			bottom = p.y + p.height/2

			if p.x+p.width > l.width || bottom > l.height {
				t.Errorf("layer %d: something ends at %d,%d outside the picture of %d×%d", number, p.x+p.width, bottom, l.width, l.height)
			}
		}
	}

	for i, route := range l.routes {
		for j, p := range route[1:] {
			if p.x <= route[j].x+route[j].width {
				t.Errorf("the edge %v goes back", d.Edges[i])
			}
		}
	}
}

func TestLabelsAreShort(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		fields []string
		want   string
	}{
		"none for the order alone": {nil, ""},
		"all that fit":             {[]string{"metadata.name", "spec.size"}, "metadata.name, spec.size"},
		"the first of many":        {[]string{"metadata.name", "status.loadBalancer.ingress"}, "metadata.name, …"},
		"the ends of a long one":   {[]string{"status.atProvider.network.subnets.first"}, "status…first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(tc.want, (&Edge{Fields: tc.fields}).label()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// broken is a file that cannot be written.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAFailedWriteIsAnError(t *testing.T) {
	t.Parallel()

	for name, write := range map[string]func(*Diagram, io.Writer) error{"svg": (*Diagram).SVG, "dot": (*Diagram).DOT, "text": (*Diagram).Text} {
		if err := write(chain(3), broken{}); !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "write the diagram: ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
