package live_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// dice decides what is left to chance: it rolls from 0 to sides-1. The higher, the worse.
type dice func(what string, sides int) int

// rolled are the dice of a test by rapid.
func rolled(t *rapid.T) dice {
	return func(what string, sides int) int { return rapid.IntRange(0, sides-1).Draw(t, what) }
}

// world is a small model of running stores: what they have, what they tell, and how they fail.
type world struct {
	servers map[live.Node]*server
	// nodes in their order.
	nodes []live.Node
}

// server is one node of one store.
type server struct {
	// always says that the server knows no difference between a default and the same value set: every setting has a value,
	// and there is no way to unset one.
	always bool
	// secretive says that it does not tell verifiers.
	secretive bool
	values    map[live.Setting]string
	// frozen says that it does not answer. What it was told before that it may do when it thaws.
	frozen bool
	late   []live.Change
}

var (
	errNoAnswer = errors.New("it does not answer")
	errBroken   = errors.New("it has broken off")
	errRefused  = errors.New("it refuses")
)

// newWorld is the same three stores every time, with values drawn: a database, two caches that share a LiveStore, and a
// place for keys.
func newWorld(t *rapid.T) *world {
	w := &world{servers: map[live.Node]*server{}}

	for _, node := range []live.Node{{Store: "db"}, {Store: "cache", Name: "1"}, {Store: "cache", Name: "2"}, {Store: "keys"}} {
		s := &server{always: node.Store == "cache", secretive: node.Store == "keys", values: map[live.Setting]string{}}

		for _, setting := range settings() {
			switch {
			case setting.Password:
				s.values[setting] = verifier("first " + setting.Role)
			case s.always || rapid.Bool().Draw(t, fmt.Sprintf("%s/%s: %s is set", node.Store, node.Name, setting.ID())):
				s.values[setting] = canonical(drawText(t, setting))
			}
		}

		w.servers[node] = s
		w.nodes = append(w.nodes, node)
	}

	return w
}

// settings are those that every server has.
func settings() []live.Setting {
	return []live.Setting{
		{Name: "n.one"}, {Name: "n.two"}, {Name: "t.one"}, {Who: "mon", Name: "n.one"}, {Role: "app", Password: true},
	}
}

// canary is in every value that a test draws, and in no name and no message of a store.
const canary = "7391"

// drawText draws a value that the setting takes, from so few that they meet again.
func drawText(t *rapid.T, s live.Setting) string {
	n := rapid.IntRange(0, 4).Draw(t, "value of "+s.ID())

	switch {
	case s.Password:
		return fmt.Sprintf("pass%s%d", canary, n)
	case strings.HasPrefix(s.Name, "n."):
		return rapid.SampledFrom([]string{"", "0"}).Draw(t, "zeros of "+s.ID()) + canary + strconv.Itoa(n)
	default:
		return fmt.Sprintf("text '%s\n%d", canary, n)
	}
}

// drawWrong draws a value that the setting does not take; the same as drawText for one that takes everything.
func drawWrong(t *rapid.T, s live.Setting) string {
	switch {
	case s.Password:
		return " "
	case strings.HasPrefix(s.Name, "n."):
		return rapid.SampledFrom([]string{"x" + canary, "9" + canary + "9", "-" + canary}).Draw(t, "wrong value of "+s.ID())
	default:
		return drawText(t, s)
	}
}

func ruleOf(s live.Setting) live.Rule {
	switch {
	case s.Password:
		return verifiers{}
	case strings.HasPrefix(s.Name, "t."):
		return words{}
	default:
		return numbers{below: 80000}
	}
}

func (s *server) state(setting live.Setting) live.State {
	state := live.State{Setting: setting, Rule: ruleOf(setting), NoUnset: s.always || setting.Password}

	if setting.Password && s.secretive {
		state.Hidden = true

		return state
	}

	if text, set := s.values[setting]; set {
		state.Stored = live.Text(text)
	}

	state.Running = state.Stored

	return state
}

// put does one change as a store does.
func (s *server) put(c live.Change) {
	switch text := c.To.Text; {
	case !c.To.Set && s.state(c.Setting).NoUnset:
	case !c.To.Set:
		delete(s.values, c.Setting)
	case c.Raw:
		s.values[c.Setting] = text
	case c.Setting.Password:
		s.values[c.Setting] = verifier(text)
	case strings.HasPrefix(c.Setting.Name, "t."):
		s.values[c.Setting] = text
	default:
		s.values[c.Setting] = canonical(text)
	}
}

// fate is what becomes of a batch of changes.
type fate int

const (
	// well: the server makes them and says so.
	well fate = iota
	// refused: it makes none and says so.
	refused
	// partly: it makes the first of them and breaks off.
	partly
	// silent: it makes the first of them, maybe none or all, and says nothing any more.
	silent
	// slow: it says nothing, and makes all of them when it answers again.
	slow
)

// drawFate leaves to chance what becomes of a batch.
func drawFate(roll dice) fate { return max(well, fate(roll("fate", 10))-5) }

// apply has a server make changes, according to fate.
func (w *world) apply(roll dice, at live.Node, changes []live.Change, f fate) error {
	s := w.servers[at]
	if s.frozen {
		if roll("a frozen server makes it later", 2) == 1 {
			s.late = append(s.late, changes...)
		}

		return errNoAnswer
	}

	n := len(changes)
	err := errNoAnswer

	switch f {
	case well:
		err = nil
	case refused:
		n, err = 0, errRefused
	case partly:
		err = errBroken
		n = roll("made before it broke off", n)
	case silent:
		s.frozen = true
		n = roll("made before it fell silent", n+1)
	case slow:
		s.frozen = true
		s.late = append(s.late, changes...)
		n = 0
	}

	for _, c := range changes[:n] {
		s.put(c)
	}

	return err
}

// thaw has a server answer again, once it has done what it was told.
func (w *world) thaw(at live.Node) {
	s := w.servers[at]

	for _, c := range s.late {
		s.put(c)
	}

	s.frozen, s.late = false, nil
}

// read asks for places.
func (w *world) read(places []live.Place) (map[live.Place]live.State, map[live.Node]string) {
	states, unreachable := map[live.Place]live.State{}, map[live.Node]string{}

	for _, p := range places {
		if s := w.servers[live.NodeOf(p)]; s.frozen {
			unreachable[live.NodeOf(p)] = "waits for LiveStore " + p.Store + ", which cannot be used: it does not answer"
		} else {
			states[p] = s.state(p.Setting)
		}
	}

	return states, unreachable
}

// has is what a server really has, also what it does not tell.
func (w *world) has(p live.Place) live.Value {
	text, set := w.servers[live.NodeOf(p)].values[p.Setting]

	return live.Value{Set: set, Text: text}
}

// everything is every place, in an order that stays.
func (w *world) everything() []live.Place {
	var places []live.Place

	for _, node := range w.nodes {
		for _, setting := range settings() {
			places = append(places, live.Place{Store: node.Store, Node: node.Name, Setting: setting})
		}
	}

	return places
}

// snapshot is what all servers really have.
func (w *world) snapshot() map[live.Place]live.Value {
	all := map[live.Place]live.Value{}
	for _, p := range w.everything() {
		all[p] = w.has(p)
	}

	return all
}

// drift is somebody else who changes something that is no password.
func (w *world) drift(t *rapid.T) {
	open := slices.DeleteFunc(w.everything(), func(p live.Place) bool {
		return p.Setting.Password || w.servers[live.NodeOf(p)].frozen
	})
	if len(open) == 0 {
		return
	}

	p := rapid.SampledFrom(open).Draw(t, "somebody else changes")
	to := live.Value{}

	if w.servers[live.NodeOf(p)].always || rapid.Bool().Draw(t, "and sets it") {
		to = live.Text(drawText(t, p.Setting))
	}

	w.servers[live.NodeOf(p)].put(live.Change{Setting: p.Setting, To: to})
}

// frozen are the nodes that do not answer.
func (w *world) frozen() []live.Node {
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n live.Node) bool { return !w.servers[n].frozen })
}

// clone is another world that has the same.
func (w *world) clone() *world {
	c := &world{servers: map[live.Node]*server{}, nodes: w.nodes}

	for node, s := range w.servers {
		same := *s
		same.values, same.late = maps.Clone(s.values), slices.Clone(s.late)
		c.servers[node] = &same
	}

	return c
}
