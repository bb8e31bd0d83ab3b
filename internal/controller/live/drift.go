package live

import (
	"context"
	"errors"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// probe looks now and then whether somebody else has changed a store, until the context ends.
func (c *Controller) probe(ctx context.Context, key types.NamespacedName, h *handle) {
	interval := duration(h.spec.ProbeInterval, defaultProbeInterval)
	if interval <= 0 {
		return
	}

	ticker := c.Clock.NewTicker(interval)
	defer ticker.Stop()

	for {
		select {
		case <-ticker.C():
		case <-ctx.Done():
			return
		}

		for _, n := range h.nodes {
			if session, err := n.get(); err == nil {
				if _, watches := session.(store.Watcher); !watches {
					c.probeNode(ctx, key, h, n)
				}
			}
		}
	}
}

// probeNode reads a node's settings if its mark has moved, and has those looked at to whom something differs.
func (c *Controller) probeNode(ctx context.Context, key types.NamespacedName, h *handle, n *node) {
	held := c.heldAt(key, n.name)
	if len(held) == 0 {
		return
	}

	mark := ""
	err := h.with(ctx, n.name, telemetry.StoreProbe, func(s store.Session) error {
		prober, can := s.(store.Prober)
		if !can {
			return store.ErrNoProbe
		}

		var err error
		mark, err = prober.Probe(ctx)

		return err
	})

	switch {
	case errors.Is(err, store.ErrNoProbe):
	case err != nil:
		return // the node is connected to anew, and everybody is looked at then
	case !h.moved(n.name, mark):
		return
	}

	c.compare(ctx, key, h, held)
}

// holding is a LiveConfig with what the store said of its places.
type holding struct {
	config types.NamespacedName
	prints map[live.Place]string
}

// heldAt are the LiveConfigs that have something at a node of a store.
func (c *Controller) heldAt(key types.NamespacedName, node string) []holding {
	var held []holding

	for _, config := range c.dependents(liveStoreKey(key)) {
		prints := map[live.Place]string{}

		for place, seen := range c.memories.printsOf(config) {
			if place.Store == key.Name && place.Node == node {
				prints[place] = seen
			}
		}

		if len(prints) > 0 {
			held = append(held, holding{config, prints})
		}
	}

	return held
}

// compare reads everything once and wakes those to whom something differs.
func (c *Controller) compare(ctx context.Context, key types.NamespacedName, h *handle, held []holding) {
	seen := map[live.Place]bool{}

	var places []live.Place

	for _, one := range held {
		for place := range one.prints {
			if !seen[place] {
				seen[place] = true
				places = append(places, place)
			}
		}
	}

	states, _ := h.read(ctx, key.Name, places)

	for _, one := range held {
		for place, seen := range one.prints {
			if state, known := states[place]; known && c.print(state) != seen {
				c.wake(one.config, wakeDrift)

				break
			}
		}
	}
}

// watchNode follows the changes of a store that tells of them, until the context ends.
func (c *Controller) watchNode(ctx context.Context, key types.NamespacedName, n *node) {
	for ctx.Err() == nil {
		signal := n.signal()
		session, err := n.get()

		watcher, can := session.(store.Watcher)
		if err == nil && !can {
			return
		}

		if err == nil {
			c.follow(ctx, key, n, session, watcher, signal)

			continue
		}

		select {
		case <-signal:
		case <-ctx.Done():
		}
	}
}

// follow watches the settings that are held at a node, until they are others or the watch breaks.
func (c *Controller) follow(
	ctx context.Context, key types.NamespacedName, n *node, session store.Session, watcher store.Watcher, signal <-chan struct{},
) {
	owners := c.owners(key, n.name)
	if len(owners) == 0 {
		select {
		case <-signal:
		case <-ctx.Done():
		}

		return
	}

	watching, stop := context.WithCancel(ctx)
	defer stop()

	go func() {
		select {
		case <-signal:
			stop()
		case <-watching.Done():
		}
	}()

	wakeOwners := func(s live.Setting) {
		for _, config := range owners[s] {
			c.wake(config, wakeDrift)
		}
	}

	settings := slices.Collect(maps.Keys(owners))

	err := watcher.Watch(watching, settings,
		// What was changed before the watch is found by a look.
		func() {
			for _, s := range settings {
				wakeOwners(s)
			}
		}, wakeOwners)
	if err != nil && watching.Err() == nil {
		n.failed(session, err)
	}
}

// owners are who has which settings at a node.
func (c *Controller) owners(key types.NamespacedName, node string) map[live.Setting][]types.NamespacedName {
	owners := map[live.Setting][]types.NamespacedName{}

	for _, one := range c.heldAt(key, node) {
		for place := range one.prints {
			owners[place.Setting] = append(owners[place.Setting], one.config)
		}
	}

	return owners
}
