package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// pass is one look at a LiveConfig.
type pass struct {
	*Controller

	config *lockstepv1alpha1.LiveConfig
	where  types.NamespacedName
	memory *memory
	woken  wake
	// since is when the first event came that this pass answers, noticed when the last source changed.
	since, noticed time.Time
	begun          time.Time

	// contents, wants and places are set by resolve.
	contents *contents
	wants    []live.Want
	handles  map[string]*handle
	// states and unreachable are set by observe, and again after every write.
	states      map[live.Place]live.State
	unreachable map[live.Node]string
	// awaits are the processes that still use what was at a place before, and take up what is there only when they start
	// again; nil until they were looked at. anyEnded says that some have ended since the status was written.
	awaits   map[placeID][]string
	anyEnded bool
	// answered are the places of which it could be asked who runs while they were changed.
	answered map[live.Place]bool
	// last is what was recorded of the revision in force, once it was read.
	last     live.Record
	lastRead bool
	// lastLost says that somebody has deleted the record.
	lastLost bool
	released []live.Entry
	// cutOff is what was recorded ahead of changes that came to no end, as far as it is there and not somebody else's.
	cutOff live.Record
	// next is the number of the next revision, once it was asked for.
	next int64
	// ahead says that the record of the next revision was written before the change.
	ahead bool
	// telling says that it is this pass's turn to record and tell.
	telling bool
	// underway says that it is on its way to the stores.
	underway bool
	plan     live.Plan
	verdict  verdict
	// again is when the next pass is due, zero if it is not.
	again time.Duration
}

// phase is a part of a pass. Done ends the pass: the status is told as far as it was found out.
type phase func(ctx context.Context) (done bool, err error)

// reconcile is one pass over one LiveConfig.
func (c *Controller) reconcile(ctx context.Context, where types.NamespacedName) (time.Duration, error) {
	config := c.liveConfigs.Get(where)
	if config == nil {
		return 0, nil
	}

	p := &pass{Controller: c, config: config, where: where, begun: c.Clock.Now(), answered: map[live.Place]bool{}}
	p.memory, p.woken, p.since, p.noticed = c.memories.take(where)

	phases := []phase{
		p.letGo, p.suspended, p.connected, p.retirement, p.rest, p.settle, p.resolve, p.claim, p.observe, p.comeBack, p.decide, p.precheck, p.change, p.conclude,
	}

	defer p.told()

	err := p.run(ctx, phases)
	if err != nil {
		c.memories.again(where, p.woken|wakeSpec, p.since)
		p.tellFailed(ctx, err)
	}

	if told := p.tell(ctx, err); told != nil {
		c.memories.again(where, p.woken|wakeSpec, p.since)

		return 0, told
	}

	if c.liveConfigs.Get(where) == nil {
		// It has gone meanwhile, and what this pass has claimed for it would stay for ever.
		c.unclaim(where)

		return 0, nil
	}

	for _, wait := range []time.Duration{p.untilRetirement(), p.untilRestart()} {
		if wait > 0 && (p.again == 0 || wait < p.again) {
			p.again = wait
		}
	}

	return p.again, err
}

// turn waits for the turn to record and tell, after the stores have what is asked for.
func (p *pass) turn(ctx context.Context) error {
	if p.telling {
		return nil
	}

	p.arrived()
	p.crowd.await(ctx)

	if err := p.Controller.telling.Acquire(ctx, 1); err != nil {
		return err //nolint:wrapcheck // the context has ended
	}

	p.telling = true

	return nil
}

// arrived says that the stores have what this pass brings.
func (p *pass) arrived() {
	if p.underway {
		p.underway = false
		p.crowd.leave()
	}
}

// told gives the turn to somebody else.
func (p *pass) told() {
	p.arrived()

	if p.telling {
		p.Controller.telling.Release(1)
	}
}

func (p *pass) run(ctx context.Context, phases []phase) error {
	for _, phase := range phases {
		if done, err := phase(ctx); done || err != nil {
			return err
		}
	}

	return nil
}

// suspended leaves everything alone.
func (p *pass) suspended(context.Context) (bool, error) {
	if p.config.Spec.Policy.Suspend {
		p.verdict = verdict{kind: verdictSuspended}
	}

	return p.config.Spec.Policy.Suspend, nil
}

// connected waits until every store was tried at least once: what cannot be told yet is not told.
func (p *pass) connected(context.Context) (bool, error) {
	for _, name := range storeNames(p.config) {
		where := types.NamespacedName{Namespace: p.where.Namespace, Name: name}

		if h := p.stores.get(where); h == nil && p.liveStores.Get(where) != nil || h != nil && h.untried() {
			p.memories.again(p.where, p.woken, p.since)
			p.verdict.kind = verdictKept

			return true, nil
		}
	}

	return false, nil
}

// rest ends a pass for which nothing has changed: neither what is asked for nor, as far as can be told without a value,
// what the stores have.
func (p *pass) rest(ctx context.Context) (bool, error) {
	if p.woken&wakeClaim != 0 || len(p.memory.back) > 0 || p.returning() {
		return false, nil
	}

	if !p.Controller.unchanged(p.config) {
		// Something else is asked for: how long the last change would have waited for its next try says nothing about it.
		p.memory.pause, p.memory.retryAt = 0, time.Time{}

		return false, nil
	}

	p.verdict.kind = verdictKept

	switch at := p.memory.retryAt; {
	case at.IsZero() && p.gaveUp():
		return true, p.tellRestarted(ctx)
	case at.After(p.begun):
		p.again = at.Sub(p.begun)

		return true, nil
	case at.IsZero() && p.memory.full && !p.unsettled() && !p.restarted(ctx) && (p.woken&(wakeStore|wakeDrift) == 0 || p.asRemembered(ctx)):
		return true, nil
	}

	p.verdict = verdict{}

	return false, nil
}

// returning says whether the last change is still being taken back.
func (p *pass) returning() bool {
	h := p.config.Status.History

	return len(h) > 0 && h[0].Outcome == lockstepv1alpha1.ChangeRollingBack
}

// gaveUp says whether the last change has failed for a reason that only a person can mend.
func (p *pass) gaveUp() bool {
	h := p.config.Status.History
	if len(h) == 0 || h[0].Outcome == lockstepv1alpha1.ChangeApplied {
		return false
	}

	stalled := conditions.Find(p.config.Status.Conditions, lockstepv1alpha1.ConditionStalled)

	return stalled != nil && stalled.Status == metav1.ConditionTrue && stalled.Reason == string(h[0].Outcome)
}

// unsettled says whether the status tells of something that a store may have ended meanwhile.
func (p *pass) unsettled() bool {
	for _, s := range p.config.Status.Settings {
		if s.State == lockstepv1alpha1.SettingPending {
			return true
		}
	}

	return len(p.config.Status.Settings) == 0
}

// asRemembered asks the stores what they have and says whether it is what they had. A store that cannot be asked has what
// it had until it says otherwise.
func (p *pass) asRemembered(ctx context.Context) bool {
	byStore := map[string][]live.Place{}
	for place := range p.memory.prints {
		byStore[place.Store] = append(byStore[place.Store], place)
	}

	for name, places := range byStore {
		h, err := p.stores.unavailable(types.NamespacedName{Namespace: p.where.Namespace, Name: name}, false)
		if err != nil {
			continue
		}

		states, _ := h.read(ctx, name, places)
		for place, state := range states {
			if p.print(state) != p.memory.prints[place] {
				return false
			}
		}
	}

	return true
}

// print digests everything that a store says of a setting.
func (c *Controller) print(s live.State) string {
	return c.key.digest(fmt.Sprintf("%v %q %v %q %q %v %v %v",
		s.Stored.Set, s.Stored.Text, s.Running.Set, s.Running.Text, s.ShadowedBy, s.RestartPending, s.Hidden, s.Problem))
}

// settle waits until no more changes are expected, before anything is read.
func (p *pass) settle(context.Context) (bool, error) {
	if p.memory.back != nil || p.config.Status.ObservedGeneration != p.config.Generation {
		return false, nil
	}

	wait := live.Settle(p.config.Spec.Policy, p.since, p.noticed, p.begun)
	if wait <= 0 {
		return false, nil
	}

	p.memories.again(p.where, p.woken, p.since)
	p.verdict.kind, p.again = verdictKept, wait

	return true, nil
}

// claim takes the settings, unless somebody older has them.
func (p *pass) claim(ctx context.Context) (bool, error) {
	if err := p.bequeathed(ctx); err != nil {
		return false, err
	}

	p.claimFor(p.config)

	for i := range p.wants {
		w := &p.wants[i]
		if holder := p.claims.holder(claimOf(p.where.Namespace, w.Place)); holder != p.where && w.Objection == "" {
			w.Objection = fmt.Sprintf("is set by LiveConfig %s, which is older; take it out of one of the two", holder.Name)
			w.Lost = true
		}
	}

	return false, nil
}

// claimFor claims what is asked for, and what is still to be given back: nobody may take that for what was there before.
func (p *pass) claimFor(config *lockstepv1alpha1.LiveConfig) {
	now := make([]claimed, 0, len(p.wants))
	for _, w := range p.wants {
		now = append(now, claimOf(p.where.Namespace, w.Place))
	}

	for _, s := range config.Status.Settings {
		if s.Applied != "" {
			now = append(now, claimed{p.storeKey(s.Store), s.ID})
		}
	}

	for _, other := range p.claims.set(p.where, config.CreationTimestamp.Time, now) {
		p.wake(other, wakeClaim)
	}
}

// observe asks the stores what they have.
func (p *pass) observe(ctx context.Context) (bool, error) {
	if err := p.findReleased(ctx); err != nil {
		return false, err
	}

	if err := p.readCutOff(ctx); err != nil {
		return false, err
	}

	p.retireReleased(ctx)
	p.look(ctx)
	p.restarted(ctx)
	p.awaitUntold(ctx)

	return false, nil
}

// look asks the stores for every place that matters.
func (p *pass) look(ctx context.Context) {
	places := map[string]map[live.Place]bool{}

	add := func(place live.Place) {
		if places[place.Store] == nil {
			places[place.Store] = map[live.Place]bool{}
		}

		places[place.Store][place] = true
	}

	for _, w := range p.wants {
		if w.Objection == "" {
			add(w.Place)
		}
	}

	for _, e := range slices.Concat(p.released, p.cutOff.Entries) {
		add(e.Place)
	}

	for _, t := range p.memory.back {
		add(t.Place)
	}

	p.states, p.unreachable = p.ask(ctx, places)
}

// ask reads places of several stores, one store after the other: most have one.
func (p *pass) ask(ctx context.Context, places map[string]map[live.Place]bool) (map[live.Place]live.State, map[live.Node]string) {
	states, unreachable := map[live.Place]live.State{}, map[live.Node]string{}

	for name, all := range places {
		var list []live.Place
		for place := range all {
			list = append(list, place)
		}

		h, err := p.store(name)
		if err != nil {
			for _, place := range list {
				unreachable[live.NodeOf(place)] = err.Error()
			}

			continue
		}

		found, not := h.read(ctx, name, list)
		maps.Copy(states, found)

		for at, why := range not {
			unreachable[at] = p.redact(why)
		}
	}

	return states, unreachable
}

// store returns the handle of a store by its name. It stays the same within a pass.
func (p *pass) store(name string) (*handle, error) {
	if h := p.handles[name]; h != nil {
		return h, nil
	}

	h, err := p.stores.unavailable(types.NamespacedName{Namespace: p.where.Namespace, Name: name}, !p.config.DeletionTimestamp.IsZero())
	if err == nil {
		if p.handles == nil {
			p.handles = map[string]*handle{}
		}

		p.handles[name] = h
	}

	return h, err
}

// owned is what the status says to be ours.
func (p *pass) owned() map[live.Place]live.Owned {
	byID := map[placeID]live.Owned{}

	for _, s := range p.config.Status.Settings {
		if s.Applied != "" {
			byID[idOfStatus(s)] = live.Owned{Applied: s.Applied, Stored: s.Stored}
		}
	}

	owned := map[live.Place]live.Owned{}

	for _, w := range p.wants {
		if o, ours := byID[idOf(w.Place)]; ours {
			owned[w.Place] = o
		}
	}

	return owned
}

// placeID is a place as the status has it.
type placeID struct{ store, node, id string }

func idOf(p live.Place) placeID { return placeID{p.Store, p.Node, p.Setting.ID()} }

// findReleased finds what is ours and no longer asked for. Only then the record is read.
func (p *pass) findReleased(ctx context.Context) error {
	wanted := p.wanted()

	let := func(s lockstepv1alpha1.SettingStatus) bool { return !wanted[idOfStatus(s)] }
	if !slices.ContainsFunc(p.config.Status.Settings, let) {
		return nil
	}

	if err := p.readLast(ctx); err != nil {
		return err
	}

	for _, e := range p.last.Entries {
		if !wanted[idOf(e.Place)] && p.stillThere(e.Place) && !p.unnamed(e.Store) {
			p.released = append(p.released, e)
		}
	}

	return nil
}

// unnamed says whether a whole source is missing for a store, so that nobody knows what it asks for.
func (p *pass) unnamed(store string) bool {
	return slices.ContainsFunc(p.wants, func(w live.Want) bool { return w.Store == store && w.Missing && w.Setting.Name == wholeName })
}

// wanted are the places that are asked for. Of a store that is not there the nodes are those that it had.
func (p *pass) wanted() map[placeID]bool {
	wanted := map[placeID]bool{}

	for _, w := range p.wants {
		wanted[idOf(w.Place)] = true

		if _, err := p.store(w.Store); err == nil {
			continue
		}

		for _, s := range p.config.Status.Settings {
			if s.Store == w.Store && s.ID == w.Setting.ID() {
				wanted[idOfStatus(s)] = true
			}
		}
	}

	return wanted
}

// renameNodes gives the nodes of the status the names that they have by now: the one endpoint of a store has none, and is the
// first of several when others come to it.
func (p *pass) renameNodes() {
	var renamed *lockstepv1alpha1.LiveConfig

	for i, s := range p.config.Status.Settings {
		if now := p.nodeNow(s.Store, s.Node); now != s.Node {
			if renamed == nil {
				renamed = p.config.DeepCopy()
			}

			renamed.Status.Settings[i].Node = now
		}
	}

	if renamed != nil {
		p.config = renamed
	}
}

func (p *pass) nodeNow(store, node string) string {
	h, err := p.store(store)
	if err != nil || len(h.nodes) == 0 || h.node(node) != nil {
		return node
	}

	first := h.nodes[0]
	if node == "" || first.name == "" && len(h.nodes) == 1 && slices.Contains(first.target.Endpoints, node) {
		return first.name
	}

	return node
}

// stillThere says whether there is somebody to give a place back to: the endpoint may have gone, or somebody else may
// have it.
func (p *pass) stillThere(place live.Place) bool {
	holder := p.claims.holder(claimOf(p.where.Namespace, place))
	if holder != (types.NamespacedName{}) && holder != p.where {
		return false
	}

	h, err := p.store(place.Store)

	return err != nil || h.node(place.Node) != nil
}

// readLast reads what is recorded of the revision in force.
func (p *pass) readLast(ctx context.Context) error {
	if p.lastRead {
		return nil
	}

	var err error

	p.last, err = p.record(ctx, p.config, p.config.Status.Revision)
	if client.IgnoreNotFound(unwrapped(err)) != nil {
		return err
	}

	// A record that somebody has deleted cannot be had back: what is in the stores now is then all that is known.
	p.lastRead, p.lastLost = true, err != nil

	for i := range p.last.Entries {
		e := &p.last.Entries[i]
		e.Node = p.nodeNow(e.Store, e.Node)
	}

	return nil
}

// decide plans. A store that cannot be asked has what it had, as long as nothing else is asked for.
func (p *pass) decide(ctx context.Context) (bool, error) {
	if len(p.unreachable) > 0 && p.Controller.unchanged(p.config) {
		p.verdict.kind = verdictKept

		return true, nil
	}

	p.plan = live.Decide(p.situation())
	p.inherit()
	p.damp()

	return false, nil
}

// How often drift is corrected within a while before somebody else is taken to do the same.
const (
	mostCorrections = 5
	correctionTime  = time.Minute
)

// damp leaves a setting alone for a while that somebody else keeps changing: two who correct each other never end.
func (p *pass) damp() {
	drifted := func(s live.Step) bool { return s.Reason == live.Drifted }
	if !slices.ContainsFunc(p.plan.Steps, drifted) {
		return
	}

	p.memory.corrected = slices.DeleteFunc(p.memory.corrected, func(t time.Time) bool { return p.begun.Sub(t) >= correctionTime })
	if len(p.memory.corrected) < mostCorrections {
		p.memory.corrected = append(p.memory.corrected, p.begun)

		return
	}

	for i := range p.plan.Findings {
		f := &p.plan.Findings[i]
		if slices.ContainsFunc(p.plan.Steps, func(s live.Step) bool { return drifted(s) && s.Place == f.Place }) {
			f.State = lockstepv1alpha1.SettingDrifted
			f.Message = "is changed in the store by somebody else again and again; find out by whom. It is set again in a minute"
		}
	}

	p.plan.Steps = slices.DeleteFunc(p.plan.Steps, drifted)
	p.again = correctionTime
	p.memory.retryAt = p.begun.Add(correctionTime)
}

func (p *pass) situation() live.Situation {
	return live.Situation{
		Wants: p.wants, States: p.states, Unreachable: p.unreachable, Awaits: p.awaitsOf(), Owned: p.owned(), Released: p.released, CutOff: p.cutOff,
		Policy: p.config.Spec.Policy, Digest: p.key.digest,
	}
}

// readCutOff reads what was recorded ahead of changes that came to no end, the newest first: of what they have begun to
// adopt nothing else tells what was there before.
func (p *pass) readCutOff(ctx context.Context) error {
	for _, revision := range slices.Backward(p.records.of(p.config)) {
		if revision <= p.config.Status.Revision {
			break
		}

		ahead, err := p.record(ctx, p.config, revision)
		if client.IgnoreNotFound(unwrapped(err)) != nil {
			return err
		}

		p.cutOff = p.cutOff.With(ahead.Entries)
	}

	p.cutOff.Entries = slices.DeleteFunc(p.cutOff.Entries, func(e live.Entry) bool { return !p.stillThere(e.Place) })

	return nil
}

// nextRevision is the number of the next change. No record has it yet: one that was written ahead is only deleted once
// another one has what it knows.
func (p *pass) nextRevision() int64 {
	if p.next != 0 {
		return p.next
	}

	p.next = p.config.Status.Revision
	if h := p.config.Status.History; len(h) > 0 {
		p.next = max(p.next, h[0].Revision)
	}

	for _, revision := range p.records.of(p.config) {
		p.next = max(p.next, revision)
	}

	p.next++

	return p.next
}
