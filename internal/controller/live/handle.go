package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// handle is what passes need of one LiveStore: its nodes, and what it allows. It is replaced, never changed, when the
// LiveStore or its credentials change.
type handle struct {
	// spec is of the generation.
	spec       lockstepv1alpha1.LiveStoreSpec
	generation int64
	// print tells two handles apart.
	print  string
	driver store.Driver
	nodes  []*node
	// slots is how many calls are made at the same time.
	slots *semaphore.Weighted
	// problem says why there are no nodes; empty when there are.
	problem *problem
	metrics *telemetry.Live

	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	marks map[string]string
}

// problem is why a LiveStore cannot be used as it is.
type problem struct{ reason, message string }

// names are the nodes' names, in their order.
func (h *handle) names() []string {
	names := make([]string, 0, len(h.nodes))
	for _, n := range h.nodes {
		names = append(names, n.name)
	}

	return names
}

// untried says whether there is a node that was not connected to yet, and has no former session either.
func (h *handle) untried() bool {
	for _, n := range h.nodes {
		if _, err := n.get(); errors.Is(err, errConnecting) {
			return true
		}
	}

	return false
}

func (h *handle) node(name string) *node {
	for _, n := range h.nodes {
		if n.name == name {
			return n
		}
	}

	return nil
}

// close ends everything that runs for the handle. It does not wait for calls under way.
func (h *handle) close() {
	if h.cancel != nil {
		h.cancel()
	}
}

// call takes a slot for the time of one call to the store.
func (h *handle) call(ctx context.Context, what telemetry.StoreRequest, do func() error) error {
	if err := h.slots.Acquire(ctx, 1); err != nil {
		return err //nolint:wrapcheck // the context has ended
	}
	defer h.slots.Release(1)

	h.metrics.Requested(h.driver.Type, what)

	return do()
}

// read asks the nodes for the settings of the places, all at once. What cannot be asked is in unreachable, with the
// reason in words.
func (h *handle) read(ctx context.Context, name string, places []live.Place) (map[live.Place]live.State, map[live.Node]string) {
	var mu sync.Mutex

	states, unreachable := map[live.Place]live.State{}, map[live.Node]string{}

	byNode := map[string][]live.Setting{}
	for _, p := range places {
		byNode[p.Node] = append(byNode[p.Node], p.Setting)
	}

	var group errgroup.Group

	for _, at := range slices.Sorted(maps.Keys(byNode)) {
		group.Go(func() error {
			settings := byNode[at]
			found, err := h.readNode(ctx, at, settings)

			mu.Lock()
			defer mu.Unlock()

			if err != nil {
				unreachable[live.Node{Store: name, Name: at}] = h.unreachable(name, at, err)

				return nil
			}

			for i, state := range found {
				states[live.Place{Store: name, Node: at, Setting: settings[i]}] = state
			}

			return nil
		})
	}

	_ = group.Wait() // no function returns an error

	return states, unreachable
}

func (h *handle) readNode(ctx context.Context, at string, settings []live.Setting) (states []live.State, err error) {
	n := h.node(at)
	if n == nil {
		return nil, errNoNode
	}

	err = h.call(ctx, telemetry.StoreRead, func() error {
		states, err = n.read(ctx, settings)

		return err
	})
	if err == nil && len(states) != len(settings) {
		err = fmt.Errorf("has answered for %d settings of %d", len(states), len(settings))
	}

	return states, err
}

func (h *handle) apply(ctx context.Context, at string, changes []live.Change) error {
	n := h.node(at)
	if n == nil {
		return errNoNode
	}

	return h.call(ctx, telemetry.StoreApply, func() error { return n.apply(ctx, changes) })
}

// with calls do with the session of a node, and takes the session out of use when it does not answer.
func (h *handle) with(ctx context.Context, at string, what telemetry.StoreRequest, do func(store.Session) error) error {
	n := h.node(at)
	if n == nil {
		return errNoNode
	}

	session, err := n.get()
	if err != nil {
		return err
	}

	err = h.call(ctx, what, func() error { return do(session) })
	if err != nil && !errors.Is(err, store.ErrNoProbe) {
		n.failed(session, err)
	}

	return err
}

// errNoNode is that of an endpoint that was there a moment ago.
var errNoNode = errors.New("is no endpoint of the store any more")

// unreachable is the sentence about a node that cannot be asked.
func (h *handle) unreachable(name, at string, err error) string {
	what := "LiveStore " + name
	if at != "" {
		what += " (" + at + ")"
	}

	if errors.Is(err, errConnecting) || errors.Is(err, errNoNode) {
		return fmt.Sprintf("waits: %s %s", what, err.Error())
	}

	return fmt.Sprintf("waits for %s, which cannot be used: %s", what, inWords(err))
}

// timeout is an error that may be one of time.
type timeout interface {
	error
	Timeout() bool
}

// inWords is an error of a store as people read it: libraries say of a time-out which bytes they waited for.
func inWords(err error) string {
	if timed, is := errors.AsType[timeout](err); is && timed.Timeout() {
		return "it does not answer in time"
	}

	// The library names both ends, of which ours is another one each time.
	if broken, is := errors.AsType[*net.OpError](err); is {
		return fmt.Sprintf("the connection failed: %s", broken.Err.Error())
	}

	return err.Error()
}

// health says whether all nodes are connected, and if not, why.
func (h *handle) health() (reason, message string) {
	if h.problem != nil {
		return h.problem.reason, h.problem.message
	}

	var told []string

	for _, n := range h.nodes {
		err := n.state()
		if err == nil {
			continue
		}

		what := "the store"
		if n.name != "" {
			what = n.name
		}

		switch {
		case errors.Is(err, errConnecting):
			reason = first(reason, reasonConnecting)
		case errors.Is(err, store.ErrLogin):
			reason = reasonLogin
		default:
			reason = first(reason, reasonUnreachable)
		}

		told = append(told, what+": "+inWords(err))
	}

	return reason, strings.Join(told, "; ")
}

func first(a, b string) string {
	if a != "" && a != reasonConnecting {
		return a
	}

	return b
}

// moved says whether a probe's mark of a node is another one than the last time, and remembers it.
func (h *handle) moved(at, mark string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()

	if h.marks == nil {
		h.marks = map[string]string{}
	}

	former, known := h.marks[at]
	h.marks[at] = mark

	return !known || former != mark
}
