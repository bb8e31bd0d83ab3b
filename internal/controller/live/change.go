package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
	"github.com/lockstep-dev/lockstep/internal/verify"
)

// finalizer keeps a LiveConfig until what was there before it is back.
const finalizer = "lockstep.dev/live"

// failure is why a change could not be carried out.
type failure struct {
	// message is for the person who is paged. It has no value in it.
	message string
	// final says that it would fail again.
	final bool
}

// change carries the plan out. Once the first write has begun it is finished, or put back, whatever becomes of the
// manager's own life.
func (p *pass) change(ctx context.Context) (bool, error) {
	if len(p.plan.Steps) == 0 {
		return false, nil
	}

	if wait, reason := live.Pace(p.config.Spec.Policy, time.Time{}, p.made(), p.begun); wait > 0 {
		p.memories.again(p.where, p.woken|wakeClaim, p.since)
		p.verdict = verdict{kind: verdictWaiting, message: reason}
		p.again = wait

		return true, nil
	}

	if err := p.hold(ctx); err != nil {
		return false, err
	}

	ctx = context.WithoutCancel(ctx)
	p.memory.retryAt = time.Time{}
	p.memory.made = append(p.made(), p.begun)
	p.verdict.change = &lockstepv1alpha1.LiveChange{
		Revision: p.nextRevision(), Time: metav1.NewTime(p.begun.Truncate(time.Second)),
		Trigger: live.Trigger(p.plan.Steps, p.wants), Changed: changedNames(p.plan.Steps),
	}

	var begun []live.Step

	failed := p.retirePending(ctx)
	if failed == nil {
		note := p.whoRuns(ctx)
		begun, failed = p.advance(ctx)
		note()
	}

	if failed == nil {
		failed = p.verify(ctx)
	}

	if failed == nil {
		return false, p.succeeded(ctx)
	}

	return true, p.failed(ctx, begun, *failed)
}

// made is when the changes of the last hour began, and the last one before. After a start the history knows.
func (p *pass) made() []time.Time {
	if p.memory.made == nil {
		for _, h := range p.config.Status.History {
			p.memory.made = append(p.memory.made, h.Time.Time)
		}
	}

	var newest time.Time

	for _, t := range p.memory.made {
		if t.After(newest) {
			newest = t
		}
	}

	return slices.DeleteFunc(slices.Clone(p.memory.made), func(t time.Time) bool { return p.begun.Sub(t) >= time.Hour && t.Before(newest) })
}

func changedNames(steps []live.Step) []string {
	var stores, names []string

	for _, step := range steps {
		if !slices.Contains(stores, step.Store) {
			stores = append(stores, step.Store)
		}
	}

	for _, step := range steps {
		name := step.Setting.ID()
		if len(stores) > 1 || step.Node != "" {
			name = step.Place.String()
		}

		names = append(names, name)
	}

	return names
}

// hold makes sure that what is about to be changed can be given back, also by another manager: the LiveConfig stays until
// then, and what was there before is on record.
func (p *pass) hold(ctx context.Context) error {
	if !slices.Contains(p.config.Finalizers, finalizer) {
		held := p.config.DeepCopy()
		held.Finalizers = append(held.Finalizers, finalizer)

		if err := p.Client.Patch(ctx, held, client.MergeFromWithOptions(p.config, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("add the finalizer to LiveConfig %s: %w", p.where, err)
		}

		p.liveConfigs.Put(held)
		p.config = held
	}

	if len(p.plan.Adopt) == 0 {
		return nil
	}

	if err := p.readLast(ctx); err != nil {
		return err
	}

	p.ahead = true

	return p.keepNext(ctx)
}

// keepNext writes the record of the next revision. It takes the next number where somebody else has a Secret of the name.
func (p *pass) keepNext(ctx context.Context) error {
	const tries = 20

	for range tries {
		err := p.keep(ctx, p.config, p.nextRecord(p.nextRevision()))
		if !errors.Is(err, errTaken) {
			return err
		}

		p.next++
	}

	return fmt.Errorf("write the record, Secret %s/%s: %w, and so are the %d after it: rename yours",
		p.where.Namespace, recordName(p.where.Name, p.next-tries), errTaken, tries-1)
}

// bequeathed remembers what younger LiveConfigs know of settings that are about to be taken from them, before they hear of
// it: what was there before them is what was there before us. It is kept until we have the setting.
func (p *pass) bequeathed(ctx context.Context) error {
	owned, known := p.owned(), map[live.Place]live.Entry{}

	for _, w := range p.wants {
		if _, ours := owned[w.Place]; ours {
			continue
		}

		if e, remembered := p.memory.bequeathed[w.Place]; remembered {
			known[w.Place] = e
		}

		for _, other := range p.claims.besides(claimOf(p.where.Namespace, w.Place), p.where) {
			if had, err := p.had(ctx, other, w.Place); err != nil {
				return err
			} else if had != nil {
				known[w.Place] = *had
			}
		}
	}

	p.memory.bequeathed = known

	return nil
}

// inherit takes over what is known of settings that a younger LiveConfig has had so far.
func (p *pass) inherit() {
	for i := range p.plan.Adopt {
		e := &p.plan.Adopt[i]
		if had, known := p.memory.bequeathed[e.Place]; known {
			e.Before, e.Hidden = had.Before, had.Hidden
		}
	}
}

// had is what a younger LiveConfig has recorded of a place that it has; nil when it does not have it.
func (p *pass) had(ctx context.Context, other types.NamespacedName, place live.Place) (*live.Entry, error) {
	config := p.liveConfigs.Get(other)
	if config == nil || older(claimant{p.where, p.config.CreationTimestamp.Time}, claimant{other, config.CreationTimestamp.Time}) > 0 {
		return nil, nil //nolint:nilnil // nobody is an answer
	}

	if !hasApplied(config, place) {
		return nil, nil //nolint:nilnil // nothing is an answer
	}

	r, err := p.record(ctx, config, config.Status.Revision)
	if client.IgnoreNotFound(unwrapped(err)) != nil {
		return nil, err
	}

	if e, found := r.Find(place); found {
		return &e, nil
	}

	return nil, nil //nolint:nilnil // nothing is an answer
}

// nextRecord is what a revision asks for, together with what could not be let go of yet.
func (p *pass) nextRecord(revision int64) live.Record {
	wants := slices.DeleteFunc(slices.Clone(p.wants), func(w live.Want) bool { return w.Lost || w.Missing || !p.has(w.Place) })
	next := p.last.Next(revision, wants, p.plan.Adopt)

	var left []live.Entry

	for _, e := range p.last.With(p.cutOff.Entries).Entries {
		if !slices.Contains(p.plan.Drop, e.Place) && !p.taken(e.Place) {
			left = append(left, e)
		}
	}

	// Those that have gone last come first: they were asked for in the record before.
	return next.With(live.Recent(left, p.gone))
}

// gone says whether a store is there and has a node no more.
func (p *pass) gone(at live.Node) bool {
	h, err := p.store(at.Store)

	return err == nil && len(h.nodes) > 0 && h.node(at.Name) == nil
}

// has says whether a place is ours, or about to be.
func (p *pass) has(place live.Place) bool {
	for _, f := range p.plan.Findings {
		if f.Place == place && (f.State == lockstepv1alpha1.SettingRefused || f.Unreachable) {
			return false
		}
	}

	return true
}

// taken says whether an older LiveConfig has a place by now. Until that is on record what we know of the place is too: the
// manager may end in between.
func (p *pass) taken(place live.Place) bool {
	holder := p.claims.holder(claimOf(p.where.Namespace, place))
	if holder == (types.NamespacedName{}) || holder == p.where {
		return false
	}

	config := p.liveConfigs.Get(holder)

	return config != nil && hasApplied(config, place)
}

func hasApplied(config *lockstepv1alpha1.LiveConfig, place live.Place) bool {
	return slices.ContainsFunc(config.Status.Settings, func(s lockstepv1alpha1.SettingStatus) bool {
		return s.Applied != "" && idOfStatus(s) == idOf(place)
	})
}

// advance writes, node after node, and stops at the first that fails. It returns the steps that were begun.
func (p *pass) advance(ctx context.Context) (begun []live.Step, failed *failure) {
	for _, batch := range live.Batches(live.Forward(p.plan.Steps)) {
		for _, step := range p.plan.Steps {
			if live.NodeOf(step.Place) == batch.Node {
				begun = append(begun, step)
			}
		}

		h, err := p.store(batch.Store)
		if err == nil {
			err = h.apply(ctx, batch.Name, batch.Changes)
		}

		if err != nil {
			return begun, p.failure(batch.Node, err)
		}
	}

	return begun, nil
}

func (p *pass) failure(at live.Node, err error) *failure {
	_, refused := errors.AsType[*store.RefusedError](err)
	_, former := errors.AsType[*formerLoginError](err)

	where := at.Store
	if at.Name != "" {
		where += " (" + at.Name + ")"
	}

	return &failure{message: p.redact(fmt.Sprintf("LiveStore %s: %s", where, inWords(err))), final: refused && !former}
}

// verify reads everything back, and says why the change is not in force; nil when it is.
func (p *pass) verify(ctx context.Context) *failure {
	note := p.whoRuns(ctx)
	p.look(ctx)
	note()

	s := p.situation()
	s.Policy.Atomicity, s.Policy.OnDrift = lockstepv1alpha1.AtomicBestEffort, lockstepv1alpha1.DriftCorrect

	for _, w := range p.wants {
		s.Owned[w.Place] = live.Owned{Applied: p.key.digest(w.Text)}
	}

	after := live.Decide(s)

	for _, step := range p.plan.Steps {
		if why := unmet(step, after); why != "" {
			return &failure{message: step.Place.String() + " " + why, final: len(p.unreachable) == 0}
		}
	}

	if failed := p.logIn(ctx); failed != nil {
		return failed
	}

	if failed := p.checks(); failed != nil {
		return failed
	}

	p.plan.Findings = after.Findings

	return nil
}

// unmet says why a step is not in force; empty when it is.
func unmet(step live.Step, after live.Plan) string {
	if slices.ContainsFunc(after.Steps, func(s live.Step) bool { return s.Place == step.Place }) {
		return "was written, but the store does not have it"
	}

	for _, f := range after.Findings {
		if f.Place != step.Place {
			continue
		}

		switch f.State {
		case lockstepv1alpha1.SettingApplied, lockstepv1alpha1.SettingRestartRequired, lockstepv1alpha1.SettingShadowed:
			return ""
		case lockstepv1alpha1.SettingPending, lockstepv1alpha1.SettingRefused, lockstepv1alpha1.SettingDrifted,
			lockstepv1alpha1.SettingRolledBack:
			return f.Message
		}
	}

	return ""
}

// logIn tries every password that was changed.
func (p *pass) logIn(ctx context.Context) *failure {
	for _, step := range p.plan.Steps {
		if !step.Setting.Password || !step.Change.To.Set || step.Change.Raw {
			continue
		}

		h, err := p.store(step.Store)
		if err != nil {
			return p.failure(live.NodeOf(step.Place), err)
		}

		accepted := true
		err = h.with(ctx, step.Node, telemetry.StoreRead, func(s store.Session) error {
			authenticator, can := s.(store.Authenticator)
			if !can {
				return nil
			}

			var err error
			accepted, err = authenticator.Accepts(ctx, step.Setting.Role, step.Change.To.Text)

			return err
		})
		if err != nil {
			return p.failure(live.NodeOf(step.Place), err)
		}

		if !accepted {
			return &failure{message: step.Place.String() + ": the store does not accept a login with the new password", final: true}
		}
	}

	return nil
}

// checks evaluates the checks over what the stores say.
func (p *pass) checks() *failure {
	for _, values := range p.values() {
		for _, check := range p.config.Spec.Checks {
			if why := unheld(check, values); why != "" {
				return &failure{message: p.redact(fmt.Sprintf("check %s %s", check.Name, why)), final: true}
			}
		}
	}

	return nil
}

// values are what the stores say that is in force, by the settings' ids: once for each node, since a check has to hold for
// all of them.
func (p *pass) values() []map[string]string {
	places := slices.SortedFunc(maps.Keys(p.states), func(a, b live.Place) int {
		return cmp.Or(cmp.Compare(a.Store, b.Store), cmp.Compare(a.Node, b.Node))
	})

	var nodes []live.Node

	for _, place := range places {
		if at := live.NodeOf(place); !slices.Contains(nodes, at) {
			nodes = append(nodes, at)
		}
	}

	all := make([]map[string]string, 0, len(nodes))

	for _, at := range nodes {
		values := map[string]string{}

		for _, place := range places {
			id := place.Setting.ID()
			if _, taken := values[id]; !taken || live.NodeOf(place) == at {
				p.value(values, place)
			}
		}

		all = append(all, values)
	}

	return all
}

func (p *pass) value(values map[string]string, place live.Place) {
	state := p.states[place]

	switch {
	case place.Setting.Password || state.Hidden:
	case state.Running.Set:
		values[place.Setting.ID()] = state.Running.Text
	default:
		values[place.Setting.ID()] = state.Stored.Text
	}
}

// unheld says why a check does not hold; empty when it does.
func unheld(check lockstepv1alpha1.Check, values map[string]string) string {
	program, err := compileCheck(check)
	if err != nil {
		return "cannot be used: " + err.Error()
	}

	holds, err := program.Holds(map[string]any{"values": values})

	switch {
	case err != nil:
		return "fails: " + err.Error()
	case holds:
		return ""
	case check.Message != "":
		return "does not hold: " + check.Message
	}

	return "does not hold: its expression is not true: " + check.Expression
}

func compileCheck(check lockstepv1alpha1.Check) (*verify.Program, error) {
	return verify.Compile(check.Expression, verify.Variable{Name: "values", Kind: verify.Texts})
}

// succeeded records a change that is in force.
func (p *pass) succeeded(ctx context.Context) error {
	p.memory.pause, p.memory.retryAt = 0, time.Time{}
	p.verdict.kind, p.verdict.change.Outcome = verdictChanged, lockstepv1alpha1.ChangeApplied

	if !p.since.IsZero() {
		for _, t := range p.types() {
			p.Metrics.Propagated(t, p.Clock.Since(p.since))
		}
	}

	if err := p.turn(ctx); err != nil {
		return err
	}

	return p.recordNow(ctx)
}

// recordNow writes the record of a revision that is in force, unless it was written ahead.
func (p *pass) recordNow(ctx context.Context) error {
	p.verdict.revision = p.verdict.change.Revision

	if p.ahead {
		return nil
	}

	if err := p.readLast(ctx); err != nil {
		return err
	}

	err := p.keepNext(ctx)
	p.verdict.revision, p.verdict.change.Revision = p.nextRevision(), p.nextRevision()

	return err
}

func (p *pass) types() []lockstepv1alpha1.StoreType {
	var types []lockstepv1alpha1.StoreType

	for _, step := range p.plan.Steps {
		if h := p.handles[step.Store]; h != nil && !slices.Contains(types, h.spec.Type) {
			types = append(types, h.spec.Type)
		}
	}

	return types
}

// failed puts back what a change has begun, unless it is to be left as it is.
func (p *pass) failed(ctx context.Context, begun []live.Step, f failure) error {
	p.verdict.kind, p.verdict.failure = verdictChanged, f

	if p.config.Spec.Policy.OnFailure == lockstepv1alpha1.FailureHold {
		p.verdict.change.Outcome, p.verdict.change.Message = lockstepv1alpha1.ChangeHeld, f.message
		p.verdict.failure.final = true

		return nil
	}

	if err := p.readLast(ctx); err != nil {
		return err
	}

	if p.config.Spec.Policy.Atomicity == lockstepv1alpha1.AtomicBestEffort && f.final && len(p.plan.Steps) > 1 {
		return p.singly(ctx, begun)
	}

	targets, lost := live.WayBack(slices.Concat(p.plan.Made, begun), p.last)
	p.memory.back = targets

	if len(lost) > 0 {
		f.message += lostWords(lost)
	}

	p.verdict.change.Message = f.message

	return p.returnTo(ctx, !f.final)
}

// tried begins what is said of a setting that a store has refused when it was asked for it alone.
const tried = "was tried, and taken back: "

// lostWords say of which places nobody knows what was there before.
func lostWords(places []live.Place) string {
	return fmt.Sprintf("; nobody knows what %s was before, so it may be the new one", joinPlaces(places))
}

func joinPlaces(places []live.Place) string {
	names := make([]string, 0, len(places))
	for _, place := range places {
		names = append(names, place.String())
	}

	return strings.Join(names, ", ")
}

// singly takes back what a change has begun as a whole, and makes its steps one by one, each on its own.
func (p *pass) singly(ctx context.Context, begun []live.Step) error {
	all := p.plan.Steps
	targets, lost := live.WayBack(slices.Concat(p.plan.Made, begun), p.last)
	p.verdict.change.Message = p.verdict.failure.message

	if len(lost) > 0 {
		p.verdict.change.Message += lostWords(lost)
	}

	if p.memory.back = targets; !p.isBack(ctx) {
		return p.returnTo(ctx, false)
	}

	var made []live.Step

	objections := map[live.Place]*failure{}

	for _, step := range all {
		p.plan.Steps = []live.Step{step}

		_, failed := p.advance(ctx)
		if failed == nil {
			failed = p.verify(ctx)
		}

		if failed == nil {
			made = append(made, step)

			continue
		}

		objections[step.Place] = failed

		if p.memory.back, _ = live.WayBack(p.plan.Steps, p.last); p.isBack(ctx) {
			continue
		}

		// What was made stays and is on record; this one is taken back once its store answers.
		back := p.memory.back
		if err := p.madeSome(ctx, made, objections); err != nil {
			return err
		}

		p.memory.back, p.verdict.failure = back, *failed

		return p.returnTo(ctx, !failed.final)
	}

	return p.madeSome(ctx, made, objections)
}

func (p *pass) isBack(ctx context.Context) bool {
	left, unread := p.bringBack(ctx)
	if len(left)+len(unread) > 0 {
		return false
	}

	p.memory.back = nil

	return true
}

// madeSome tells a change of which only some steps could be made.
func (p *pass) madeSome(ctx context.Context, made []live.Step, objections map[live.Place]*failure) error {
	p.plan.Steps = made
	p.plan.Drop = slices.DeleteFunc(p.plan.Drop, func(place live.Place) bool { return objections[place] != nil })

	var messages []string

	for i := range p.plan.Findings {
		f := &p.plan.Findings[i]
		why := objections[f.Place]
		if why == nil {
			continue
		}

		messages = append(messages, why.message)

		f.Applied, f.Stored = "", ""
		if f.State, f.Message, f.Unreachable = lockstepv1alpha1.SettingRefused, tried+why.message, false; !why.final {
			f.State, f.Message, f.Unreachable = lockstepv1alpha1.SettingPending, why.message, true
		}
	}

	p.verdict.change.Message = strings.Join(messages, "; ")

	if len(made) > 0 {
		return p.succeeded(ctx)
	}

	p.verdict.change.Outcome = lockstepv1alpha1.ChangeRolledBack

	return p.dropAhead(ctx)
}

// The pauses before a change that failed is tried again.
const (
	firstPause = 5 * time.Second
	// lateWrite is how long a store that has not answered is watched after it has come back: the write may still arrive.
	lateWrite = time.Second
)

// returnTo brings everything back that a change has begun, and says how far it is.
func (p *pass) returnTo(ctx context.Context, unsure bool) error {
	left, unread := p.bringBack(ctx)

	switch {
	case len(left)+len(unread) > 0:
		p.comingBack()
		p.memory.sureAt = time.Time{}
		p.again = p.backOff(firstRedial)

		return nil
	case unsure && p.memory.sureAt.IsZero():
		p.memory.sureAt = p.Clock.Now().Add(lateWrite)
	}

	if wait := p.memory.sureAt.Sub(p.Clock.Now()); wait > 0 {
		p.comingBack()
		p.again = wait

		return nil
	}

	p.memory.back, p.memory.sureAt, p.memory.change = nil, time.Time{}, nil
	p.verdict.change.Outcome = lockstepv1alpha1.ChangeRolledBack

	if !p.verdict.failure.final {
		p.again = p.backOff(firstPause)
		p.memory.retryAt = p.Clock.Now().Add(p.again)
	}

	return p.dropAhead(ctx)
}

// comingBack says that a change is being taken back, and remembers it until it is: the status may not be written.
func (p *pass) comingBack() {
	p.verdict.change.Outcome = lockstepv1alpha1.ChangeRollingBack
	p.memory.change, p.memory.failure = p.verdict.change.DeepCopy(), p.verdict.failure
}

// backOff is the next pause: each is twice as long as the one before.
func (p *pass) backOff(from time.Duration) time.Duration {
	p.memory.pause = min(max(from, 2*p.memory.pause), p.Settings.LastRetry)

	return p.memory.pause
}

// bringBack writes what is not yet as it has to be, the last store first, and returns what is not and what could not be
// read after.
func (p *pass) bringBack(ctx context.Context) (left []live.Target, unread []live.Place) {
	p.look(ctx)
	left, unread = live.Returning(p.memory.back, p.states)

	if len(left) == 0 {
		return left, unread
	}

	written := map[live.Place]bool{}

	for _, batch := range live.Batches(left) {
		h, err := p.store(batch.Store)
		if err == nil {
			err = h.apply(ctx, batch.Name, batch.Changes)
		}

		if err != nil {
			p.Log.Info("putting a change back has failed and is tried again", "liveconfig", p.where.String(),
				"reason", p.failure(batch.Node, err).message)

			continue
		}

		for _, t := range left {
			written[t.Place] = live.NodeOf(t.Place) == batch.Node || written[t.Place]
		}
	}

	p.look(ctx)
	left, unread = live.Returning(p.memory.back, p.states)

	// What a store does not tell counts as being back once it has taken it.
	left = slices.DeleteFunc(left, func(t live.Target) bool { return p.states[t.Place].Hidden && written[t.Place] })

	return left, unread
}

// dropAhead deletes the record that was written ahead of a change that is gone.
func (p *pass) dropAhead(ctx context.Context) error {
	revision := p.verdict.change.Revision
	if revision == p.config.Status.Revision || !slices.Contains(p.records.of(p.config), revision) {
		return nil
	}

	return p.remove(ctx, p.where, revision)
}

// comeBack goes on with a change that is being taken back.
func (p *pass) comeBack(ctx context.Context) (bool, error) {
	switch {
	case p.memory.change != nil:
		p.verdict = verdict{kind: verdictChanged, change: p.memory.change.DeepCopy(), continued: true, failure: p.memory.failure}
	case p.returning():
		last := p.config.Status.History[0]
		p.verdict = verdict{kind: verdictChanged, change: last.DeepCopy(), continued: true}
		p.verdict.failure = failure{message: last.Message, final: p.wasFinal()}
	default:
		p.memory.back = nil

		return false, nil
	}

	if len(p.memory.back) == 0 {
		if err := p.readLast(ctx); err != nil {
			return false, err
		}

		adopting, err := p.record(ctx, p.config, p.verdict.change.Revision)
		if client.IgnoreNotFound(unwrapped(err)) != nil {
			return false, err
		}

		p.memory.back = live.LastGood(p.last, adopting)
	}

	// There is nobody any more to give those back to, or somebody else has them by now.
	p.memory.back = slices.DeleteFunc(p.memory.back, func(t live.Target) bool { return !p.stillThere(t.Place) })

	err := p.returnTo(context.WithoutCancel(ctx), true)

	if p.verdict.change.Outcome == lockstepv1alpha1.ChangeRolledBack && !p.Controller.unchanged(p.config) {
		// Something else is asked for by now.
		p.again, p.memory.retryAt = time.Millisecond, time.Time{}
	}

	return true, err
}

// wasFinal says whether the change that is being taken back has failed for a reason that only a person can mend.
func (p *pass) wasFinal() bool {
	for _, c := range p.config.Status.Conditions {
		if c.Type == lockstepv1alpha1.ConditionStalled {
			return c.Status == metav1.ConditionTrue
		}
	}

	return false
}

// tellEvent says on the LiveConfig what became of a change.
func (p *pass) tellEvent() {
	change := p.verdict.change
	if change == nil {
		return
	}

	kind, reason := corev1.EventTypeWarning, telemetry.LiveEventRolledBack
	message := fmt.Sprintf("revision %d (%s), for %s: %s", change.Revision, strings.Join(change.Changed, ", "), change.Trigger, change.Message)

	switch change.Outcome {
	case lockstepv1alpha1.ChangeApplied:
		kind, reason = corev1.EventTypeNormal, telemetry.LiveEventApplied
		message = fmt.Sprintf("revision %d is in force (%s), for %s", change.Revision, strings.Join(change.Changed, ", "), change.Trigger)
	case lockstepv1alpha1.ChangeRollingBack:
		reason = telemetry.LiveEventRollbackPending
	case lockstepv1alpha1.ChangeHeld:
		reason = telemetry.LiveEventHeld
	case lockstepv1alpha1.ChangeRolledBack:
	}

	p.event(p.config, kind, reason, message)
}
