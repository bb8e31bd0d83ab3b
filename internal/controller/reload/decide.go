package reload

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // for the length of the compatible marker
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/plan"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// origin is what is kept of a source: everything but its content.
type origin struct {
	content         digest.Content
	ignored         bool
	matched         bool
	resourceVersion string
	created         time.Time
	// written is when somebody last wrote the content, to the second; zero where the server does not say.
	written time.Time
}

// cause is one source that a workload has to be looked at for.
type cause struct {
	key refs.Key
	// from is what the source held when the workload last had it; nil where only the workload's marker can tell.
	from *digest.Content
	// seen is when the change was observed here.
	seen time.Time
	// unsure is set where from may not be what the workload has: a write failed and may have been done all the same,
	// or the workload was made after the change and seen before it.
	unsure bool
	// tried is what was written since, without an answer; each content once.
	tried []attempt
}

// attempt is a content of which nobody knows whether it was written.
type attempt struct {
	marker string
	sum    digest.Sum
}

// settings are those of the whole dialect that a decision depends on.
type settings struct {
	strategy    reload.Strategy
	keys        reload.Keys
	minInterval time.Duration
	removeStale bool
	// onDelete makes the deletion of a source a change.
	onDelete bool
}

// facts are everything that a decision looks at.
type facts struct {
	workload *workload.Observed
	policy   *reload.Policy
	// lender is the Deployment whose pod template a Rollout uses, and to which the change is then written.
	// The workload's references and markers are then already the lender's. Nil for all others.
	lender *workload.Observed
	// carried is what the workload last carried, and when: from its annotation, or newer from memory.
	carried reload.Carried
	// causes are sorted by key; sources holds those that exist.
	causes  []cause
	sources map[refs.Key]*origin
	now     time.Time
}

// edit is one source whose change goes into the workload.
type edit struct {
	key       refs.Key
	container string
	marker    string
	sum       digest.Sum
	// gone: the source was deleted. auto: chosen by auto or search, not by name.
	gone, auto bool
	// twin: the compatible hash cannot tell this content from the former one, so that the marker alone would
	// leave the template as it is.
	twin bool
	// tried: it may have been written already.
	tried   bool
	version string
	seen    time.Time
}

// step is the decision: what to write now, what not, and when to look again.
type step struct {
	change  workload.Change
	edits   []edit
	carried reload.Carried
	skipped map[refs.Key]telemetry.SkipReason
	// after is the time until the next look; zero for none. waiting says why, for the log.
	after   time.Duration
	waiting string
	resumed bool
	paused  bool
	// stale are the marker variables that are removed because nothing stands behind them any more.
	stale []string
	// busy: the workload itself has to become free first.
	busy bool
}

// decide is the whole decision for one workload. It is pure.
func decide(f facts, s settings) step {
	var d step

	d.edits, d.skipped = consider(f, s)
	resume, resumeIn := resumption(f, s)

	if len(d.edits) > 0 && !resume {
		if wait := pace(f, s, &d); wait > 0 {
			d.edits = nil
			d.after, d.waiting = wait, "the workload was rolled a moment ago: what arrives meanwhile goes together"
		}
	}

	if f.workload.Busy && len(d.edits) > 0 {
		d.edits, d.busy, d.waiting = nil, true, "the CronJob forbids concurrency and a Job of it is running"
	}

	if len(d.edits) > 0 {
		d.change = mark(f, s, &d)
	}

	if resume {
		d.change.Paused = new(false)
		setAnnotation(&d.change, s.keys.PausedAt, nil)
		d.resumed = true
	} else if resumeIn > 0 && (d.after == 0 || resumeIn < d.after) {
		d.after = resumeIn
	}

	if _, stamped := f.workload.Annotations[s.keys.PausedAt]; stamped && !f.workload.Paused && !d.paused {
		// Somebody ended our pause. Left behind, the stamp would make the next pause of theirs look like ours.
		setAnnotation(&d.change, s.keys.PausedAt, nil)
	}

	return d
}

// consider looks at every cause, in the order of the compatible contract, section 3.
func consider(f facts, s settings) ([]edit, map[refs.Key]telemetry.SkipReason) {
	var edits []edit

	skipped := map[refs.Key]telemetry.SkipReason{}

	for _, c := range f.causes {
		e, skip := weigh(f, s, c)
		if skip != "" {
			skipped[c.key] = skip

			continue
		}

		edits = append(edits, e)
	}

	return edits, skipped
}

func weigh(f facts, s settings, c cause) (edit, telemetry.SkipReason) {
	e := edit{key: c.key, seen: c.seen, marker: digest.DeletedMarker, gone: true, tried: len(c.tried) > 0}

	source := f.sources[c.key]
	if source != nil {
		e.gone, e.marker, e.version = false, source.content.Marker(), source.resourceVersion
		e.sum = source.content.Select(f.policy.KeysOf(c.key))
	} else {
		source = &origin{}
	}

	if e.gone && !s.onDelete {
		return e, telemetry.SkipIgnored
	}

	decision := f.policy.Decide(reload.Source{Key: c.key, Ignored: source.ignored, Matched: source.matched})
	if !decision.Reload {
		return e, telemetry.SkipIgnored
	}

	use, reads := f.workload.Use(c.key)
	e.container, e.auto = use.Container, decision.Auto

	if !reads && !decision.Auto {
		e.container = f.workload.FirstContainer
	}

	if e.container == "" {
		return e, telemetry.SkipNotUpdated
	}

	if f.workload.Suspended {
		// The next run of a suspended CronJob reads the new content by itself.
		return e, telemetry.SkipIgnored
	}

	return e, unneeded(f, s, c, &e)
}

// unneeded says why an edit would change nothing; empty when it is needed.
func unneeded(f facts, s settings, c cause, e *edit) telemetry.SkipReason {
	if e.gone {
		return unneededDeletion(f, s, e)
	}

	had, known := f.carried.Sources[e.key.Local()]

	if other, twin := c.triedOther(e); other {
		// Maybe the workload was rolled with that, and says it only in what we have not seen yet.
		e.twin = twin || had != e.sum && marked(f, s, e)

		return ""
	}

	// A change that we saw happen after the last rollout counts for more than what the workload says of itself: an
	// undone rollout brings the markers of former content back, while its pods read the content of their start.
	seen := c.from != nil && !c.unsure && !c.seen.IsZero() && f.carried.At.Before(c.seen)

	if had == e.sum && !e.sum.IsZero() && !seen {
		return telemetry.SkipNoDataChange
	}

	if c.from != nil && !c.unsure && sameSelection(c.from, f.policy.KeysOf(e.key), e.sum) {
		return telemetry.SkipNoDataChange
	}

	if !marked(f, s, e) {
		return ""
	}

	// The marker says that the workload has this content already. It is believed, unless the content is known
	// to have changed between two that the compatible hash cannot tell apart.
	source := f.sources[e.key]
	between := c.from != nil && c.from.Compatible == source.content.Compatible && c.from.Whole != source.content.Whole

	// The variable that has the value already is left alone, as existing users expect; the annotation is not.
	again := seen && s.strategy == reload.Annotations && e.key.Kind != refs.SecretProviderClass

	if between || again || c.unsure && known && had != e.sum {
		e.twin = true

		return ""
	}

	return telemetry.SkipNotUpdated
}

// triedOther tells whether a write that may have been done carried another content, and whether the compatible hash
// cannot tell it from this one.
func (c cause) triedOther(e *edit) (other, twin bool) {
	for _, t := range c.tried {
		other = other || t.sum != e.sum
		twin = twin || t.sum != e.sum && t.marker == e.marker
	}

	return other, twin
}

func unneededDeletion(f facts, s settings, e *edit) telemetry.SkipReason {
	if s.strategy == reload.Annotations {
		last, err := reload.ParseLastReload(f.workload.TemplateAnnotations[s.keys.LastReloadedFrom])
		if err == nil && last.Name == e.key.Name && last.Hash == digest.DeletedMarker {
			return telemetry.SkipNotUpdated
		}

		return ""
	}

	if f.workload.Kind == workload.CronJob || f.policy.Restart && f.workload.Kind == workload.Rollout {
		return telemetry.SkipNotUpdated
	}

	if _, there := f.workload.Variable(e.container, reload.EnvName(e.key)); !there {
		return telemetry.SkipNotUpdated
	}

	return ""
}

// sameSelection tells whether the keys that count hold the same as before. What is not known has changed.
func sameSelection(from *digest.Content, keys []string, sum digest.Sum) bool {
	if len(keys) == 0 {
		return from.Whole == sum
	}

	return from.Keys != nil && from.Select(keys) == sum
}

// marked tells whether the workload's compatible marker already names this content.
func marked(f facts, s settings, e *edit) bool {
	if s.strategy == reload.Annotations {
		last, err := reload.ParseLastReload(f.workload.TemplateAnnotations[s.keys.LastReloadedFrom])

		return err == nil && last.Name == e.key.Name && last.Type == reload.TypeName(e.key.Kind) && last.Hash == e.marker
	}

	name := reload.EnvName(e.key)
	if e.key.Kind != refs.SecretProviderClass {
		value, there := f.workload.Variable(e.container, name)

		return there && value == e.marker
	}

	// Every pod reports for itself: one marker, in whichever container, is enough.
	return slices.ContainsFunc(f.workload.Variables, func(v workload.Variable) bool {
		return v.Name == name && v.Value == e.marker
	})
}

// pace is how long the workload has to wait before it may be rolled again. It sets what is carried from now on.
func pace(f facts, s settings, d *step) time.Duration {
	interval := s.minInterval
	if f.policy.MinInterval != nil {
		interval = *f.policy.MinInterval
	}

	at, streak := plan.Pace(f.carried.At, f.carried.Streak, interval, f.now)
	d.carried.Streak = streak

	return at.Sub(f.now)
}

// mark builds the one write that carries all edits.
func mark(f facts, s settings, d *step) workload.Change {
	c := workload.Change{Token: token(f, d.edits)}

	d.carried.At = f.now.UTC().Truncate(time.Millisecond)
	d.carried.Sources = carriedSources(f, d.edits)

	if f.workload.Kind != workload.CronJob {
		setAnnotation(&c, reload.CarriedKey, new(d.carried.String()))
	}

	if f.policy.Restart && f.workload.Kind == workload.Rollout {
		c.RestartAt = &f.now

		return c
	}

	for _, e := range triedFirst(d.edits) {
		markOne(f, s, e, &c)
	}

	if twins := slices.DeleteFunc(slices.Clone(d.edits), func(e edit) bool { return !e.twin }); len(twins) > 0 {
		setTemplateAnnotation(&c, reload.ContentKey, contentMark(f.workload.TemplateAnnotations[reload.ContentKey], twins))
	}

	if s.removeStale {
		d.stale = removeStale(f, &c)
	}

	if f.policy.PausePeriod > 0 && f.workload.Kind == workload.Deployment && !f.workload.Paused {
		c.Paused = new(true)
		setAnnotation(&c, s.keys.PausedAt, new(f.now.Format(time.RFC3339)))
		d.paused, d.after = true, f.policy.PausePeriod
	}

	return c
}

// triedFirst orders edits for the one annotation that tells of the last of them alone: it must not be that of a write that
// may have been done already.
func triedFirst(edits []edit) []edit {
	rank := func(e edit) int { return map[bool]int{false: 1}[e.tried] }

	return slices.SortedStableFunc(slices.Values(edits), func(a, b edit) int { return cmp.Compare(rank(a), rank(b)) })
}

func markOne(f facts, s settings, e edit, c *workload.Change) {
	if s.strategy == reload.Annotations {
		last := reload.LastReload{
			Type: reload.TypeName(e.key.Kind), Name: e.key.Name, Namespace: e.key.Namespace, Hash: e.marker,
			ContainerRefs: []string{e.container}, ObservedAt: f.now.Unix(),
		}
		setTemplateAnnotation(c, s.keys.LastReloadedFrom, last.String())

		return
	}

	name := reload.EnvName(e.key)
	c.Variables = slices.DeleteFunc(c.Variables, func(v workload.VariableChange) bool {
		return v.Container == e.container && v.Name == name
	})

	change := workload.VariableChange{Container: e.container, Name: name, Value: e.marker}
	if e.gone {
		change.Value, change.Remove = "", true
	}

	c.Variables = append(c.Variables, change)
}

// removeStale takes away the marker variables of sources that the workload no longer refers to, and those that
// were left in another container. It returns their names.
func removeStale(f facts, c *workload.Change) []string {
	var stale []string

	for _, v := range f.workload.Variables {
		wanted := slices.ContainsFunc(f.workload.Uses, func(u refs.Use) bool {
			return u.Container == v.Container && reload.EnvName(refs.Key{Kind: u.Kind, Name: u.Name}) == v.Name
		}) || v.Container == f.workload.FirstContainer && namedInCarried(f, v.Name)
		edited := slices.ContainsFunc(c.Variables, func(e workload.VariableChange) bool {
			return e.Container == v.Container && e.Name == v.Name
		})

		// A value that is no hash was not written by us, whatever its name.
		if hash, err := hex.DecodeString(v.Value); err != nil || len(hash) != sha1.Size {
			continue
		}

		if !wanted && !edited {
			c.Variables = append(c.Variables, workload.VariableChange{Container: v.Container, Name: v.Name, Remove: true})
			stale = append(stale, v.Name)
		}
	}

	return stale
}

// namedInCarried tells whether the variable belongs to a source that the annotations still name, without the
// pod template referring to it.
func namedInCarried(f facts, variable string) bool {
	for key := range f.sources {
		if reload.EnvName(key) == variable && f.policy.Decide(reload.Source{Key: key}).Reload {
			return true
		}
	}

	return false
}

// carriedSources is what the workload carries after the write: its new pods read all sources as they are now. Of
// sources that it never carried, or no longer depends on, nothing is kept.
func carriedSources(f facts, edits []edit) map[string]digest.Sum {
	sources := map[string]digest.Sum{}

	for key, o := range f.sources {
		if _, known := f.carried.Sources[key.Local()]; known {
			sources[key.Local()] = o.content.Select(f.policy.KeysOf(key))
		}
	}

	for _, e := range edits {
		if e.gone {
			delete(sources, e.key.Local())
		} else {
			sources[e.key.Local()] = e.sum
		}
	}

	return sources
}

// resumption tells whether a pause of ours is over, or how long it still lasts.
func resumption(f facts, s settings) (bool, time.Duration) {
	stamp, ours := f.workload.Annotations[s.keys.PausedAt]
	if !ours || !f.workload.Paused || f.workload.Kind != workload.Deployment {
		return false, 0
	}

	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		// A stamp that nobody can read must not hold the Deployment for ever.
		return true, 0
	}

	left := at.Add(f.policy.PausePeriod).Sub(f.now)

	return left <= 0, max(left, 0)
}

// contentMark is a mark that differs from the former one whatever was marked before, by this source or another one, and
// is the same when the same is written once more because the answer was lost.
func contentMark(former string, twins []edit) string {
	parts := []string{former}
	for _, e := range twins {
		parts = append(parts, e.key.String(), e.sum.String())
	}

	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))

	return digest.Sum(sum[:len(digest.Sum{})]).String()
}

const tokenLength = 10

// token names the change: the same for the same versions of the same sources, so that what is created for it is
// created once even when the manager ends in between.
func token(f facts, edits []edit) string {
	parts := []string{string(f.workload.UID)}
	for _, e := range edits {
		parts = append(parts, e.key.String(), e.version, e.marker)
	}

	sum := sha256.Sum256(fmt.Appendf(nil, "%q", strings.Join(parts, "\x00")))

	return hex.EncodeToString(sum[:])[:tokenLength]
}

func setAnnotation(c *workload.Change, key string, value *string) {
	if c.Annotations == nil {
		c.Annotations = map[string]*string{}
	}

	c.Annotations[key] = value
}

func setTemplateAnnotation(c *workload.Change, key, value string) {
	if c.TemplateAnnotations == nil {
		c.TemplateAnnotations = map[string]*string{}
	}

	c.TemplateAnnotations[key] = &value
}
