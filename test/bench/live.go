package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// The phases of the live scene. Those of single changes end in the store's name.
const (
	phaseLiveSingle   = "live change, "
	phaseLiveCreated  = "for the burst created"
	phaseLiveBurst    = "burst on Ceph"
	phaseLiveMany     = "many live created"
	phaseLiveSettled  = "many live probed"
	phaseLiveRest     = "many live at rest"
	phaseLiveRestart  = "restart, many live"
	phaseLiveRestored = "live change after restart"
)

const (
	// liveNamespace has all objects of the scene.
	liveNamespace = "live"
	// liveKey is the key of the Secrets.
	liveKey = "value"
	// bursts is how often the burst is measured in a turn.
	bursts = 3
	// breath is the time between two single changes: a controller may have to clear up after the one before.
	breath = 50 * time.Millisecond
	// probesAtRest is how often a store is looked at while the steady state is watched, and leastProbe the least time between.
	probesAtRest = 4
	leastProbe   = time.Second
)

// liveSizes are the options of the live scene.
type liveSizes struct {
	// Configs is the number of LiveConfigs for the steady state and the restart, those of the burst included.
	Configs int `json:"configs"`
	// Burst is how many LiveConfigs change at once on one Ceph.
	Burst int `json:"burst"`
	// Samples is how often a single change of each store is timed.
	Samples int `json:"samples"`
}

func (l *liveSizes) flags(flags *flag.FlagSet) {
	flags.IntVar(&l.Configs, "live-configs", 1000, "live: number of LiveConfigs at rest and at the restart, those of the burst included")
	flags.IntVar(&l.Burst, "live-burst", 200, "live: number of LiveConfigs that change at once on one Ceph")
	flags.IntVar(&l.Samples, "live-samples", 50, "live: number of single changes of each store")
}

func (l *liveSizes) validate() error {
	switch {
	case min(l.Burst, l.Samples) < 1:
		return errors.New("-live-burst and -live-samples must be at least 1")
	case l.Configs < l.Burst+len(storeNames()):
		return fmt.Errorf("-live-configs must be at least %d: those of the burst, and one for each store", l.Burst+len(storeNames()))
	}
	return nil
}

// LivePhase is what only the live scene measures.
type LivePhase struct {
	// ByHand are the times of the store's own command in milliseconds; of the burst, of all of them in sequence.
	ByHand []float64 `json:"byHandMilliseconds,omitempty"`
	// Patched is when the API had answered all changes of the Secrets, Recorded when the status told of all.
	Patched  []float64 `json:"patchedMilliseconds,omitempty"`
	Recorded []float64 `json:"recordedMilliseconds,omitempty"`
	// Verified is the mean time, in milliseconds, from the event of the Secret until the value was read back, as the controller
	// itself measures it; nil when it does not tell.
	Verified *float64 `json:"verifiedMilliseconds,omitempty"`
	// StoreRequests are those that the controller counts itself, by what was asked; nil when it does not tell.
	StoreRequests storeRequests `json:"storeRequests,omitempty"`
	// Counted is what the stores counted themselves.
	Counted map[string]Counted `json:"counted,omitempty"`
}

// liveTurn is one controller at work on live settings, with a plane and stores of its own.
type liveTurn struct {
	sightedTurn

	servers *servers
}

// liveScene gives each controller its turn in each round.
func liveScene(ctx context.Context, b *bench, all []controller, dir string) error {
	return b.inTurns(len(all), func(which, round, place int) (err error) {
		only := all[which : which+1]
		own := filepath.Join(dir, fmt.Sprintf("%d-%d", round, place))
		b.sayf("%s: starting the stores", sceneLive)
		stores, err := startServers(ctx, b.clock, b.options.Patience, filepath.Join(own, "stores"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stores.close(ctx)) }()
		return b.inArena(ctx, sceneLive, only, own, managerPolicy, func(ctx context.Context, a *arena) error {
			ctx, fail := context.WithCancelCause(ctx)
			defer fail(nil)
			defer a.subjects[0].end()
			t := &liveTurn{sightedTurn: b.sightedTurn(a, a.subjects[0], sceneLive, round, fail), servers: stores}
			if err := t.all(ctx); err != nil {
				return explained(ctx, err)
			}
			b.turns = append(b.turns, t.result)
			return nil
		})
	})
}

// all runs the turn.
func (t *liveTurn) all(ctx context.Context) error {
	if err := t.furnish(ctx); err != nil {
		return err
	}
	t.sayf("%s: round %d: %s", sceneLive, t.result.Round, t.subject.Name)
	if err := t.start(ctx); err != nil {
		return err
	}
	if err := t.phase(ctx, phaseLiveCreated, calmLimit, t.createBurst); err != nil {
		return err
	}
	for _, server := range t.servers.all {
		err := t.phase(ctx, phaseLiveSingle+server.name, calmLimit, func(ctx context.Context, p *Phase) error {
			return t.single(ctx, p, server)
		})
		if err != nil {
			return err
		}
	}
	for _, p := range []struct {
		name  string
		limit time.Duration
		act   func(context.Context, *Phase) error
	}{
		{phaseLiveBurst, calmLimit, t.burst},
		{phaseLiveMany, manyLimit, t.createMany},
		{phaseLiveSettled, manyLimit, t.settle},
		{phaseLiveRest, calmLimit, t.atRest},
		{phaseLiveRestart, manyLimit, t.restartMany},
		{phaseLiveRestored, calmLimit, t.restored},
	} {
		if err := t.phase(ctx, p.name, p.limit, p.act); err != nil {
			return err
		}
	}
	return nil
}

// furnish makes what is there before a controller runs: the stores with the controller's users, and a LiveConfig for each.
func (t *liveTurn) furnish(ctx context.Context) error {
	if err := t.install(ctx, dialectLive); err != nil {
		return err
	}
	if err := t.createNamespace(ctx, liveNamespace); err != nil {
		return err
	}
	if err := t.follow(ctx, liveResource("livestores"), liveNamespace); err != nil {
		return err
	}
	if err := t.follow(ctx, liveResource("liveconfigs"), liveNamespace); err != nil {
		return err
	}
	for _, server := range t.servers.all {
		if err := t.furnishOne(ctx, server); err != nil {
			return err
		}
	}
	return nil
}

func (t *liveTurn) furnishOne(ctx context.Context, server namedServer) error {
	username, password, err := server.login(ctx)
	if err != nil {
		return err
	}
	name := objectName(server.name)
	login := map[string]string{"username": username, "password": password}
	if err := t.createSecret(ctx, name+"-login", login); err != nil {
		return err
	}
	spec := server.spec()
	spec.Credentials = &lockstepv1alpha1.StoreCredentials{
		SecretName: name + "-login", UsernameKey: "username", PasswordKey: "password",
	}
	spec.ProbeInterval = &metav1.Duration{Duration: t.probeInterval()}
	store, err := liveObject(&lockstepv1alpha1.LiveStore{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, "LiveStore")
	if err != nil {
		return err
	}
	if err := t.make(ctx, liveResource("livestores"), liveNamespace, store); err != nil {
		return err
	}
	return t.createConfig(ctx, name, name, server.setting(), server.text(t.edit()))
}

// probeInterval lets the probes run several times while the steady state is watched.
func (t *liveTurn) probeInterval() time.Duration { return max(leastProbe, t.options.Rest/probesAtRest) }

// edit numbers the values, so that each one is new.
func (t *liveTurn) edit() int {
	t.edits++
	return t.edits
}

// start starts the controller and waits until it has carried a change to each store.
func (t *liveTurn) start(ctx context.Context) error {
	if err := t.subject.start(t.fail); err != nil {
		return err
	}
	ready := map[sight]condition{}
	for _, server := range t.servers.all {
		name := objectName(server.name)
		ready[sight{"livestores", name}], ready[sight{"liveconfigs", name}] = isTrue("Ready"), isTrue("Ready")
	}
	if err := t.expect(ctx, ready); err != nil {
		return err
	}
	for _, server := range t.servers.all {
		// The first time is slower for everybody: nothing is measured by it.
		if err := t.change(ctx, &Phase{Live: &LivePhase{}}, server); err != nil {
			return err
		}
	}
	return t.quiet(ctx, calmLimit)
}

// single changes the Secret of one store's setting again and again, each time when the change before is recorded, and the
// same kind of setting by hand in alternation.
func (t *liveTurn) single(ctx context.Context, p *Phase, server namedServer) error {
	before, err := t.numbers(ctx)
	if err != nil {
		return err
	}
	p.Live = &LivePhase{}
	for range t.options.Live.Samples {
		took, err := server.byHand(ctx, t.edit())
		if err != nil {
			return err
		}
		p.Live.ByHand = append(p.Live.ByHand, milliseconds(took))
		if err := t.change(ctx, p, server); err != nil {
			return err
		}
		if p.Missed >= missedLimit {
			break
		}
		if err := t.pass(ctx, breath); err != nil {
			return err
		}
	}
	after, err := t.numbers(ctx)
	p.Live.Verified = after.verified(before, server.spec().Type)
	return err
}

// change changes the Secret of one store's setting, and notes when the store has it and when the status tells.
func (t *liveTurn) change(ctx context.Context, p *Phase, server namedServer) error {
	name, text := objectName(server.name), server.text(t.edit())
	seen, err := server.aim(ctx, text)
	if err != nil {
		return err
	}
	begun, goal := t.clock.Now(), t.sights.aim(t.nextRevisions([]string{name}))
	if err := t.changeSecret(ctx, name, text); err != nil {
		return err
	}
	stored, err := seen()
	if err != nil {
		return err
	}
	recorded, left, err := t.sights.await(ctx, goal, t.options.Patience)
	p.Expected++
	if stored.IsZero() || left > 0 {
		p.Missed++
		return err
	}
	p.Samples = append(p.Samples, milliseconds(stored.Sub(begun)))
	p.Live.Recorded = append(p.Live.Recorded, milliseconds(recorded.Sub(begun)))
	return err
}

// nextRevisions are the conditions that LiveConfigs are ready with a newer revision than now.
func (t *liveTurn) nextRevisions(names []string) map[sight]condition {
	conditions := map[sight]condition{}
	for _, name := range names {
		at := sight{"liveconfigs", name}
		former := revision(t.sights.now(at))
		conditions[at] = both(isTrue("Ready"), func(object *unstructured.Unstructured) bool { return revision(object) > former })
	}
	return conditions
}

func revision(object *unstructured.Unstructured) int64 {
	if object == nil {
		return 0
	}
	n, _, err := unstructured.NestedInt64(object.Object, "status", "revision")
	if err != nil {
		return 0
	}
	return n
}

// createBurst makes the LiveConfigs that change at once.
func (t *liveTurn) createBurst(ctx context.Context, p *Phase) error {
	return t.createConfigs(ctx, p, numbered("burst", t.options.Live.Burst), func(int) string { return cephName })
}

// createMany makes the LiveConfigs that are still missing, one half on Ceph and the other on etcd.
func (t *liveTurn) createMany(ctx context.Context, p *Phase) error {
	missing := t.options.Live.Configs - t.options.Live.Burst - len(t.servers.all)
	return t.createConfigs(ctx, p, numbered("many", missing), func(i int) string {
		return map[bool]string{true: cephName, false: etcdName}[i%2 == 0]
	})
}

// createConfigs makes LiveConfigs, each with a setting and a Secret of its own, until all are ready.
func (t *liveTurn) createConfigs(ctx context.Context, p *Phase, names []string, store func(i int) string) error {
	stores, ready := map[string]string{}, map[sight]condition{}
	for i, name := range names {
		stores[name], ready[sight{"liveconfigs", name}] = store(i), isTrue("Ready")
	}
	before, err := t.numbers(ctx)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("text-%d", t.edit())
	err = t.reach(ctx, p, ready, func() error {
		return inParallel(ctx, names, func(ctx context.Context, name string) error {
			setting := cephSetting(name)
			if stores[name] == etcdName {
				setting = etcdSetting(name)
			}
			return t.createConfig(ctx, name, objectName(stores[name]), setting, text)
		})
	})
	if err != nil {
		return err
	}
	after, err := t.numbers(ctx)
	p.Live = &LivePhase{StoreRequests: after.storeRequests(before)}
	return err
}

// burst changes the Secrets of many LiveConfigs on one Ceph at once, and by hand as many options one after the other, in
// alternation.
func (t *liveTurn) burst(ctx context.Context, p *Phase) error {
	names := numbered("burst", t.options.Live.Burst)
	p.Live = &LivePhase{}
	for range bursts {
		if err := t.burstByHand(ctx, p, len(names)); err != nil {
			return err
		}
		if err := t.burstOnce(ctx, p, names); err != nil {
			return err
		}
		if err := t.quiet(ctx, calmLimit); err != nil {
			return err
		}
	}
	return t.burstByHand(ctx, p, len(names))
}

func (t *liveTurn) burstByHand(ctx context.Context, p *Phase, n int) error {
	took, err := t.servers.ceph.allByHand(ctx, n, t.edit())
	p.Live.ByHand = append(p.Live.ByHand, milliseconds(took))
	return err
}

func (t *liveTurn) burstOnce(ctx context.Context, p *Phase, names []string) error {
	text := t.servers.ceph.text(t.edit())
	version, err := t.servers.ceph.version(ctx)
	if err != nil {
		return err
	}
	goal, patched := t.sights.aim(t.nextRevisions(names)), make(chan error, 1)
	begun := t.clock.Now()
	var answered time.Duration
	go func() {
		err := inParallel(ctx, names, func(ctx context.Context, name string) error { return t.changeSecret(ctx, name, text) })
		answered = t.clock.Since(begun)
		patched <- err
	}()
	stored, left, err := t.servers.ceph.awaitAll(ctx, names, text, version)
	if err := errors.Join(err, <-patched); err != nil {
		return err
	}
	recorded, untold, err := t.sights.await(ctx, goal, t.options.Patience)
	p.Expected += len(names)
	if p.Missed += max(left, untold); left == 0 && untold == 0 {
		p.Samples = append(p.Samples, milliseconds(stored.Sub(begun)))
		p.Live.Patched = append(p.Live.Patched, milliseconds(answered))
		p.Live.Recorded = append(p.Live.Recorded, milliseconds(recorded.Sub(begun)))
	}
	return err
}

// settle waits until the probes have seen what was changed last: the first one after a change has the controller look.
func (t *liveTurn) settle(ctx context.Context, _ *Phase) error {
	return t.pass(ctx, 2*t.probeInterval())
}

// atRest watches for a while.
func (t *liveTurn) atRest(ctx context.Context, p *Phase) error {
	numbers, err := t.numbers(ctx)
	if err != nil {
		return err
	}
	counted, err := t.servers.counted(ctx)
	if err != nil {
		return err
	}
	if err := t.pass(ctx, t.options.Rest); err != nil {
		return err
	}
	countedThen, err := t.servers.counted(ctx)
	if err != nil {
		return err
	}
	numbersThen, err := t.numbers(ctx)
	p.Live = &LivePhase{StoreRequests: numbersThen.storeRequests(numbers), Counted: map[string]Counted{}}
	for name, now := range countedThen {
		p.Live.Counted[name] = now.since(counted[name])
	}
	return err
}

// restartMany kills the controller, starts it again, and waits until it has come to rest. The time is that from the start to
// the last request that it sends to the API or to a store; what its first probe has looked at is left out.
func (t *liveTurn) restartMany(ctx context.Context, p *Phase) error {
	var (
		asked time.Time
		known storeRequests
	)
	begun, err := t.restart(ctx, p, &t.result.End, func() {
		now, err := t.numbers(ctx)
		if err != nil || now == nil {
			return // it does not serve them yet, or never
		}
		n := now.storeRequests(nil)
		if n[requestProbe] == 0 && n.busy() > known.busy() {
			asked = t.clock.Now()
		}
		known = n
	})
	if err != nil {
		return err
	}
	p.Live = &LivePhase{StoreRequests: known}
	p.Seconds = max(p.Seconds, asked.Sub(begun).Seconds())
	return nil
}

// restored shows that a controller that was started again is not deaf.
func (t *liveTurn) restored(ctx context.Context, p *Phase) error {
	p.Live = &LivePhase{}
	for _, server := range t.servers.all {
		if err := t.change(ctx, p, server); err != nil {
			return err
		}
	}
	return nil
}
