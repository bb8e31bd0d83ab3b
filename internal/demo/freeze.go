package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// freezes is how often it is tried to freeze a store in the middle of a change: that takes some milliseconds, and nothing
// tells where in them it is.
const freezes = 10

// freeze is a change in whose middle the last of the stores was frozen.
type freeze struct {
	edit

	// frozen and thawed are when.
	frozen, thawed time.Time
}

// frozen freezes a store in the middle of a change, and lets it go on.
func (t *tuning) frozen(ctx context.Context) error {
	last := t.gauges[len(t.gauges)-1]
	t.screen.sayf("4. %s is edited, and %s is frozen as soon as %s has its new value\n", theLimits, last.kind, t.gauges[0].kind)
	f, err := t.midChange(ctx)
	if err != nil {
		return err
	}
	if err := t.others(ctx, f); err != nil {
		return err
	}
	if err := last.Resume(); err != nil {
		return err
	}
	f.thawed = t.Clock.Now()
	if err := t.back(ctx, f); err != nil {
		return err
	}

	return t.again(ctx, f)
}

// midChange edits the Secret and freezes the last store in the middle of the change. When the change was quicker it is taken
// back and made anew.
func (t *tuning) midChange(ctx context.Context) (freeze, error) {
	last := t.gauges[len(t.gauges)-1]
	for range freezes {
		f, hit, err := t.shoot(ctx, last)
		if err != nil || hit {
			return f, err
		}
		if err := last.Resume(); err != nil {
			return freeze{}, err
		}
		e, err := t.edit(ctx, t.now)
		if err != nil {
			return freeze{}, err
		}
		if _, err := t.arrives(ctx, e); err != nil {
			return freeze{}, err
		}
	}

	return freeze{}, fmt.Errorf("%s could not be frozen in the middle of a change: each of %d was quicker", last.kind, freezes)
}

// shoot edits the Secret and freezes a store as soon as the first one has its new value. It tells whether that was in the
// middle of the change: the manager has not come to its end then.
func (t *tuning) shoot(ctx context.Context, at *gauge) (f freeze, hit bool, err error) {
	if f.edit, err = t.edit(ctx, theFrozen()); err != nil {
		return f, false, err
	}
	if err := t.first(ctx, f.edit); err != nil {
		return f, false, err
	}
	if err := at.Pause(); err != nil {
		return f, false, err
	}
	f.frozen = t.Clock.Now()
	hit, err = t.failing(ctx, f.edit)

	return f, hit, err
}

// first waits until the first store has its new value. It asks without a pause, and returns at once.
func (t *tuning) first(ctx context.Context, e edit) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s has no new value after %s", t.servers[0].kind, patience))
	defer cancel()
	for ctx.Err() == nil {
		if value, err := t.servers[0].value(ctx); err == nil && value == e.to[0].says {
			return nil
		}
	}

	return context.Cause(ctx)
}

// failing waits until it is known what becomes of a change: true when it has failed, false when it is in force.
func (t *tuning) failing(ctx context.Context, e edit) (failed bool, err error) {
	err = t.when(ctx, "the change fails", func() (bool, error) {
		config, err := t.told(ctx, e)
		if err != nil || len(config.Status.History) == 0 {
			return false, err
		}
		failed = config.Status.History[0].Outcome != lockstepv1alpha1.ChangeApplied

		return true, nil
	})

	return failed, err
}

// others waits until all but the frozen store are back, and shows when they were.
func (t *tuning) others(ctx context.Context, f freeze) error {
	last := t.gauges[len(t.gauges)-1]
	t.screen.sayf("  %s is frozen %s after the edit: it keeps its connections and answers nothing.\n", last.kind, elapsed(f.frozen.Sub(f.at)))
	rows := [][]string{{"STORE", "SETTING", "IN FORCE", "NEW AFTER", "BACK AFTER"}}
	for i, g := range t.gauges[:len(t.gauges)-1] {
		var since time.Time
		err := t.when(ctx, fmt.Sprintf("%s has its %s of before", g.kind, g.setting), func() (has bool, err error) {
			since, has = g.trail().since(f.from[i].says)

			return has, nil
		})
		if err != nil {
			return err
		}
		changed, was := g.trail().first(f.to[i].says, f.at)
		if !was {
			return fmt.Errorf("%s never had the new %s", g.kind, g.setting)
		}
		rows = append(rows, []string{
			string(g.kind), g.setting, strings.Join([]string{f.from[i].says, f.to[i].says, f.from[i].says}, " → "),
			elapsed(changed.Sub(f.at)), elapsed(since.Sub(f.at)),
		})
	}
	rows = append(rows, []string{string(last.kind), last.setting, "does not answer"})
	t.screen.sayf("%s\n", strings.Join(columns(rows), "\n"))

	return nil
}

// back waits until the store that was frozen is back, too, and the LiveConfig says so.
func (t *tuning) back(ctx context.Context, f freeze) error {
	n := len(t.gauges) - 1
	last, was, becomes := t.gauges[n], f.from[n].says, f.to[n].says
	var (
		since time.Time
		why   string
	)
	err := t.when(ctx, "everything is back", func() (has bool, err error) {
		config, err := t.config(ctx)
		if err != nil || len(config.Status.History) == 0 || config.Status.History[0].Outcome != lockstepv1alpha1.ChangeRolledBack {
			return false, err
		}
		why = config.Status.History[0].Message
		since, has = last.trail().since(was)

		return has, nil
	})
	if err != nil {
		return err
	}
	told := t.Clock.Since(f.thawed)
	t.screen.sayf("  %s goes on %s after the edit.", last.kind, elapsed(f.thawed.Sub(f.at)))
	if late, reached := last.trail().first(becomes, f.thawed); reached {
		t.screen.sayf("  The write had reached it all the same: its %s is %s %s after that.", last.setting, becomes, milliseconds(late.Sub(f.thawed)))
	}
	t.screen.sayf("  It has %s, as before, from %s after that on.", was, milliseconds(max(0, since.Sub(f.thawed))))
	t.screen.sayf("\n  LiveConfig/%s %s after that:\n  RolledBack: %s\n", limits, elapsed(told), why)
	for i, g := range t.gauges {
		if _, has := g.trail().since(f.from[i].says); !has {
			return fmt.Errorf("%s does not have the %s of before", g.kind, g.setting)
		}
	}

	return t.strays(f.edit, f.from, f.to)
}

// again waits until the change that has failed is made, without anybody's help. Then it stops the manager, and asks the
// stores.
func (t *tuning) again(ctx context.Context, f freeze) error {
	t.screen.sayf("5. The change is tried again by itself\n")
	if _, err := t.arrives(ctx, f.edit); err != nil {
		return err
	}
	rows := [][]string{{"STORE", "SETTING", "IN FORCE", "AFTER IT GOES ON"}}
	for i, g := range t.gauges {
		since, _ := g.trail().since(f.to[i].says)
		rows = append(rows, []string{string(g.kind), g.setting, f.from[i].says + " → " + f.to[i].says, elapsed(since.Sub(f.thawed))})
	}
	t.screen.sayf("%s", strings.Join(columns(rows), "\n"))
	drained := t.Clock.Now()
	if err := t.stop(ctx); err != nil {
		return err
	}
	took := t.Clock.Since(drained)
	var problems []error
	for i, g := range t.gauges {
		if has, err := g.value(ctx); err != nil || has != f.to[i].says {
			problems = append(problems, fmt.Errorf("%s has a %s of %s in the end, want %s", g.kind, g.setting, has, f.to[i].says), err)
		}
	}
	if err := errors.Join(append(problems, t.strays(f.edit, f.from, f.to))...); err != nil {
		return err
	}
	t.screen.sayf("\n  Nothing is lost. The manager drained and gave its Lease back in %s.", elapsed(took))

	return nil
}

// config is the LiveConfig as the watches have brought it.
func (t *tuning) config(ctx context.Context) (*lockstepv1alpha1.LiveConfig, error) {
	config := &lockstepv1alpha1.LiveConfig{}
	if err := t.watched.Get(ctx, client.ObjectKey{Namespace: namespace, Name: limits}, config); err != nil {
		return nil, fmt.Errorf("read LiveConfig %s: %w", limits, err)
	}

	return config, nil
}
