package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

const (
	// limits names the Secret with the settings' values, and the LiveConfig that keeps them live.
	limits           = "limits"
	theLimits source = "Secret/" + limits
	// storeLimit bounds a command of a store, and with it how long a frozen one is waited for.
	storeLimit = time.Second
	// within is how long a change may take that nothing hinders, edits how often it is tried.
	within = time.Second
	edits  = 5
)

// amount is a value of a setting: as the Secret has it, and as the store says it.
type amount struct{ asked, says string }

// The values in the order of the stores. Each of them is there once, so that what a store has tells which change it is at.
func theFirst() []amount { return []amount{{"260", "260"}, {"6MB", "6MB"}, {"64mb", "67108864"}} }

func theEdited() []amount { return []amount{{"300", "300"}, {"8MB", "8MB"}, {"96mb", "100663296"}} }

func theRefused() []amount { return []amount{{"340", "340"}, {"32kB", "32kB"}, {"128mb", "134217728"}} }

func theMended() []amount { return []amount{{"360", "360"}, {"12MB", "12MB"}, {"160mb", "167772160"}} }

func theFrozen() []amount { return []amount{{"400", "400"}, {"16MB", "16MB"}, {"192mb", "201326592"}} }

// tuning is the story of live settings.
type tuning struct {
	*story

	gauges []*gauge
	// now is what the stores have when nothing is under way.
	now []amount
}

// tellLive tells the story of live settings.
func (s *story) tellLive(ctx context.Context) error {
	t := &tuning{story: s}
	for _, chapter := range []func(context.Context) error{t.prepare, t.edited, t.refused, t.mended, t.frozen} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}

	return nil
}

// prepare installs the dialect and makes three settings of three stores live.
func (t *tuning) prepare(ctx context.Context) error {
	begun := t.Clock.Now()
	if err := t.install(ctx); err != nil {
		return err
	}
	if err := t.observe(ctx, &lockstepv1alpha1.LiveConfig{}, &lockstepv1alpha1.LiveStore{}); err != nil {
		return err
	}
	t.took("The dialect live is installed", begun)
	if err := t.start(ctx); err != nil {
		return err
	}
	t.look(ctx)
	first := edit{at: t.Clock.Now(), to: theFirst()}
	for _, object := range t.objects(first.to) {
		if err := t.client.Create(ctx, object); err != nil {
			return fmt.Errorf("create %T %s: %w", object, object.GetName(), err)
		}
		if secret, is := object.(*corev1.Secret); is && secret.Name == limits {
			first.version = secret.ResourceVersion
		}
	}
	if _, err := t.arrives(ctx, first); err != nil {
		return err
	}
	t.now = first.to
	t.took("Three settings are live", first.at)

	return t.introduce(ctx)
}

// objects are those of the application: what is to be live, and where. Each store is logged in to by a user of ours.
func (t *tuning) objects(values []amount) []client.Object {
	secret := func(name string, data map[string]string) client.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: data}
	}
	config := &lockstepv1alpha1.LiveConfig{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: limits}}
	config.Spec.Policy = lockstepv1alpha1.LivePolicy{
		Atomicity: lockstepv1alpha1.AtomicAll, OnFailure: lockstepv1alpha1.FailureRollback,
	}
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, secret(limits, t.data(values)),
	}
	limit := &metav1.Duration{Duration: storeLimit}
	for _, s := range t.servers {
		login := s.name + "-login"
		objects = append(objects, secret(login, map[string]string{"username": s.user, "password": s.password}),
			&lockstepv1alpha1.LiveStore{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: s.name},
				Spec: lockstepv1alpha1.LiveStoreSpec{
					Type: s.kind, Endpoints: []string{s.endpoint},
					Credentials: &lockstepv1alpha1.StoreCredentials{SecretName: login},
					Timeouts:    lockstepv1alpha1.StoreTimeouts{Connect: limit, Command: limit},
				},
			})
		config.Spec.Settings = append(config.Spec.Settings, lockstepv1alpha1.LiveSetting{
			LiveScope: lockstepv1alpha1.LiveScope{Who: s.who}, StoreRef: &lockstepv1alpha1.StoreReference{Name: s.name},
			Name: s.setting, ValueFrom: &lockstepv1alpha1.ValueSource{
				SecretKeyRef: &lockstepv1alpha1.KeyReference{Name: limits, Key: s.setting},
			},
		})
	}

	return append(objects, config)
}

// data is the Secret's: a key for each setting.
func (t *tuning) data(values []amount) map[string]string {
	data := map[string]string{}
	for i, s := range t.servers {
		data[s.setting] = values[i].asked
	}

	return data
}

// look begins to ask the stores what they have, until everything ends.
func (t *tuning) look(ctx context.Context) {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	for _, s := range t.servers {
		g := &gauge{server: s, clock: t.Clock, news: t.changed}
		t.gauges = append(t.gauges, g)
		all.Go(func() { g.watch(watching) })
	}
	t.closers = append(t.closers, func(context.Context) error {
		stop()
		all.Wait()

		return nil
	})
}

// introduce tells what there is.
func (t *tuning) introduce(ctx context.Context) error {
	rows := [][]string{{"STORE", "VERSION", "SETTING", "COMES FROM", "IN FORCE"}}
	for i, s := range t.servers {
		store := &lockstepv1alpha1.LiveStore{}
		if err := t.watched.Get(ctx, client.ObjectKey{Namespace: namespace, Name: s.name}, store); err != nil {
			return fmt.Errorf("read LiveStore %s: %w", s.name, err)
		}
		rows = append(rows, []string{
			string(s.kind), store.Status.Version, s.setting, fmt.Sprintf("%s[%s]", theLimits, s.setting), t.now[i].says,
		})
	}
	t.screen.sayf("\n%s\n", strings.Join(columns(rows), "\n"))

	return nil
}

// edited changes all three while the manager watches.
func (t *tuning) edited(ctx context.Context) error {
	t.screen.sayf("1. %s is edited\n", theLimits)
	e, last, err := t.quickly(ctx)
	if err != nil {
		return err
	}
	t.show(e)
	t.now = e.to
	t.screen.sayf("\n  All three are live within %s, and none was restarted.\n", elapsed(last))

	return nil
}

// quickly edits the Secret, anew when the change takes longer than it may: the machine may have been busy with something
// else. It returns when the last of the stores had it.
func (t *tuning) quickly(ctx context.Context) (edit, time.Duration, error) {
	for try := 1; ; try++ {
		e, err := t.edit(ctx, theEdited())
		if err != nil {
			return e, 0, err
		}
		last, err := t.arrives(ctx, e)
		switch {
		case err != nil || last <= within:
			return e, last, err
		case try == edits:
			return e, last, fmt.Errorf("the stores had the change after %s, and none of %d was there within %s", elapsed(last), edits, elapsed(within))
		}
		t.screen.sayf("  It took %s. The machine may have been busy: it is put back, and edited once more.\n", elapsed(last))
		if e, err = t.edit(ctx, t.now); err != nil {
			return e, 0, err
		}
		if _, err := t.arrives(ctx, e); err != nil {
			return e, 0, err
		}
	}
}

// refused changes one to what its store does not accept, the others to what theirs do. Then it stops the manager, which does
// first what it still has to do, and asks the stores whether anything was written.
func (t *tuning) refused(ctx context.Context) error {
	t.screen.sayf("2. %s is edited: %s is out of its range, the other two are not\n", theLimits, t.servers[1].setting)
	before, err := t.traces(ctx)
	if err != nil {
		return err
	}
	e, err := t.edit(ctx, theRefused())
	if err != nil {
		return err
	}
	var why string
	err = t.when(ctx, "the edit is refused", func() (bool, error) {
		config, err := t.told(ctx, e)
		stalled := meta.FindStatusCondition(config.Status.Conditions, lockstepv1alpha1.ConditionStalled)
		if err != nil || stalled == nil || stalled.Status != metav1.ConditionTrue {
			return false, err
		}
		why = fmt.Sprintf("%s: %s", stalled.Reason, stalled.Message)

		return true, nil
	})
	if err != nil {
		return errors.Join(err, t.strays(e, t.now))
	}
	t.screen.sayf("  LiveConfig/%s %s after the edit:\n  %s\n", limits, elapsed(t.Clock.Since(e.at)), why)
	if err := t.stop(ctx); err != nil {
		return err
	}

	return t.untouched(ctx, e, before)
}

// untouched asks the stores whether nothing was written since an edit, and shows what they have.
func (t *tuning) untouched(ctx context.Context, e edit, before []string) error {
	after, err := t.traces(ctx)
	if err != nil {
		return err
	}
	problems := []error{t.strays(e, t.now)}
	rows := [][]string{{"STORE", "SETTING", "ASKED FOR", "IN FORCE", "STATE"}}
	for i, g := range t.gauges {
		has, err := g.value(ctx)
		if err != nil {
			return err
		}
		if has != t.now[i].says || after[i] != before[i] {
			problems = append(problems, fmt.Errorf("%s was written: %s is %s, and was %s", g.kind, g.setting, has, t.now[i].says))
		}
		rows = append(rows, []string{string(g.kind), g.setting, e.to[i].asked, has, string(untouched)})
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	t.screen.sayf("%s\n\n  Nothing was written anywhere.\n", strings.Join(columns(rows), "\n"))

	return nil
}

// mended gives all three other values while no manager runs.
func (t *tuning) mended(ctx context.Context) error {
	t.screen.sayf("3. %s is mended while no manager runs; then one is started\n", theLimits)
	e, err := t.edit(ctx, theMended())
	if err != nil {
		return err
	}
	if err := t.launch(ctx); err != nil {
		return err
	}
	last, err := t.arrives(ctx, e)
	if err != nil {
		return err
	}
	t.show(e)
	t.now = e.to
	t.screen.sayf("\n  All three are live within %s, the manager's start included.\n", elapsed(last))

	return nil
}

// edit is a change of the Secret.
type edit struct {
	at time.Time
	// version is the Secret's resourceVersion after it.
	version  string
	from, to []amount
}

// edit gives the Secret other values.
func (t *tuning) edit(ctx context.Context, to []amount) (edit, error) {
	body, err := json.Marshal(map[string]any{"stringData": t.data(to)})
	if err != nil {
		return edit{}, fmt.Errorf("encode the change of %s: %w", theLimits, err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: limits}}
	at := t.Clock.Now()
	if err := t.client.Patch(ctx, secret, client.RawPatch(types.MergePatchType, body)); err != nil {
		return edit{}, fmt.Errorf("change %s: %w", theLimits, err)
	}

	return edit{at: at, version: secret.ResourceVersion, from: t.now, to: to}, nil
}

// told is the LiveConfig as soon as its status is about an edit; before, one without a status.
func (t *tuning) told(ctx context.Context, e edit) (*lockstepv1alpha1.LiveConfig, error) {
	config, err := t.config(ctx)
	if err != nil {
		return &lockstepv1alpha1.LiveConfig{}, err
	}
	for _, o := range config.Status.ObservedSources {
		if o.Kind == "Secret" && o.Name == limits && o.ResourceVersion == e.version {
			return config, nil
		}
	}

	return &lockstepv1alpha1.LiveConfig{}, nil
}

// arrives waits until each store says that it has what was asked for, and the LiveConfig says so too. It returns when the
// last of the stores had it.
func (t *tuning) arrives(ctx context.Context, e edit) (time.Duration, error) {
	var last time.Duration
	err := t.when(ctx, "all settings are live", func() (bool, error) {
		last = 0
		for i, g := range t.gauges {
			since, has := g.trail().since(e.to[i].says)
			if !has {
				return false, nil
			}
			last = max(last, since.Sub(e.at))
		}
		config, err := t.told(ctx, e)

		return meta.IsStatusConditionTrue(config.Status.Conditions, lockstepv1alpha1.ConditionReady), err
	})
	if err == nil {
		return last, nil
	}
	problems := []error{err}
	for i, g := range t.gauges {
		if _, has := g.trail().since(e.to[i].says); !has {
			problems = append(problems, fmt.Errorf("%s does not have the %s of %s", g.kind, g.setting, e.to[i].asked))
		}
	}

	return 0, errors.Join(problems...)
}

// show shows when each store had what was asked for.
func (t *tuning) show(e edit) {
	rows := [][]string{{"STORE", "SETTING", "ASKED FOR", "IN FORCE", "AFTER"}}
	for i, g := range t.gauges {
		since, _ := g.trail().since(e.to[i].says)
		rows = append(rows, []string{
			string(g.kind), g.setting, e.to[i].asked, e.from[i].says + " → " + e.to[i].says, milliseconds(since.Sub(e.at)),
		})
	}
	t.screen.sayf("%s", strings.Join(columns(rows), "\n"))
}

// traces are what each write to the stores would have changed.
func (t *tuning) traces(ctx context.Context) ([]string, error) {
	traces := make([]string, len(t.gauges))
	for i, g := range t.gauges {
		var err error
		if traces[i], err = g.trace(ctx); err != nil {
			return nil, err
		}
	}

	return traces, nil
}

// strays is an error for each store that has had other values since an edit than these.
func (t *tuning) strays(e edit, may ...[]amount) error {
	var problems []error
	for i, g := range t.gauges {
		var values []string
		for _, amounts := range may {
			values = append(values, amounts[i].says)
		}
		if strays := g.trail().strays(e.at, values...); len(strays) > 0 {
			problems = append(problems, fmt.Errorf("%s had a %s of %s meanwhile", g.kind, g.setting, strings.Join(strays, ", ")))
		}
	}

	return errors.Join(problems...)
}
