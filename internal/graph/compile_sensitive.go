package graph

import (
	"slices"

	"github.com/lockstep-dev/lockstep/internal/graph/expr"
)

// sensitive finds what may hold something of a Secret's content, and has the expressions that read it fail without a
// reason: CEL's messages repeat values.
func (c *compiler) sensitive() {
	if len(c.problems) > 0 {
		return
	}

	for _, n := range c.graph.Nodes {
		d := c.drafts[n.ID]

		for _, e := range d.all {
			if c.discreet(d, e) && c.getsInto(e) {
				n.Sensitive = true
			}
		}

		n.secretIdentity = slices.ContainsFunc(d.identity, func(e *expression) bool { return e.sensitive })
	}

	// These may read nodes that come later, and what they read of their own.
	for _, d := range c.list {
		for _, e := range d.readyWhen {
			c.discreet(d, e)
		}
	}

	for _, e := range c.statusExpressions {
		c.discreet(nil, e)
	}
}

// getsInto says whether what an expression gives gets into the objects: what only decides about them does not, and of
// other nodes' objects only what is read of them.
func (c *compiler) getsInto(e *expression) bool {
	if e.role == roleForEach {
		_, objects := c.elements(e)

		return !objects
	}

	return e.role == roleField
}

// discreet marks an expression that reads something of a Secret's content.
func (c *compiler) discreet(d *draft, e *expression) bool {
	if e.sensitive = slices.ContainsFunc(c.reads(d, e), c.isSensitive); e.sensitive {
		e.program = e.program.Discreet()
	}

	return e.sensitive
}

// isSensitive says whether something of a Secret's content may be in what is read.
func (c *compiler) isSensitive(r expr.Read) bool {
	target := c.drafts[r.Variable]
	if target == nil {
		return false
	}

	if target.Sensitive {
		return !made(r.Keys)
	}

	if !target.isSecret() {
		return false
	}

	return slices.ContainsFunc([][]string{
		{"data"},
		{"stringData"},
		// Clients that apply without the server keep all of the object here.
		{"metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"},
	}, func(keys []string) bool {
		n := min(len(keys), len(r.Keys))

		return slices.Equal(keys[:n], r.Keys[:n])
	})
}

// made says whether a field is the server's alone, so that nothing of the template is in it.
func made(keys []string) bool {
	return len(keys) > 1 && keys[0] == "metadata" &&
		slices.Contains([]string{"resourceVersion", "uid", "generation", "creationTimestamp", "deletionTimestamp"}, keys[1])
}

func (n *Node) isSecret() bool { return n.GVK.Group == "" && n.GVK.Kind == "Secret" }

// reads is what an expression reads of the instance and of the nodes. For an iterator, it is what its list is made of;
// for the items that readyWhen judges one by one, it is the node itself.
func (c *compiler) reads(d *draft, e *expression) []expr.Read {
	if e.program == nil {
		return nil
	}

	var all []expr.Read

	for _, r := range e.program.Reads() {
		switch it := d.iterator(r.Variable); {
		case e.role == roleReady && r.Variable == variableEach:
			all = append(all, expr.Read{Variable: d.ID, Keys: r.Keys})
		case e.role != roleField || it == nil:
			all = append(all, r)
		case it.program != nil:
			if of, ok := c.elements(it); ok {
				all = append(all, expr.Read{Variable: of.Variable, Keys: r.Keys})
			} else {
				all = append(all, it.program.Reads()...)
			}
		}
	}

	return all
}

// iterator is the list of an iterator, nil if there is none of that name.
func (d *draft) iterator(name string) *expression {
	if d == nil {
		return nil
	}

	for _, it := range d.forEach {
		if it.name == name {
			return it.list
		}
	}

	return nil
}
