package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/verify"
)

// defaultWho is the section of Ceph's database that holds for everybody.
const defaultWho = "global"

// asked is one thing that a LiveConfig asks for, before it is known at which nodes.
type asked struct {
	live.Want

	store string
	// written is the name before it was given the form of the store's type.
	written string
	// single says that it comes from settings, not from a whole source.
	single bool
}

// resolve reads the sources and finds out what is asked for, and where.
func (p *pass) resolve(ctx context.Context) (bool, error) {
	p.underway = true
	p.crowd.enter()

	var err error
	if p.contents, err = p.load(ctx, p.config); err != nil {
		return false, err
	}

	var all []asked
	for i := range p.config.Spec.Settings {
		all = append(all, p.single(&p.config.Spec.Settings[i])...)
	}

	for i := range p.config.Spec.From {
		all = append(all, p.whole(&p.config.Spec.From[i])...)
	}

	p.renameNodes()
	p.wants = p.expand(all)
	p.remember()

	return false, nil
}

// remember has what was refused on its own stay refused until something else is asked for: each try is a write.
func (p *pass) remember() {
	if p.config.Spec.Policy.Atomicity != lockstepv1alpha1.AtomicBestEffort || !p.Controller.unchanged(p.config) {
		return
	}

	for i := range p.wants {
		w := &p.wants[i]

		for _, s := range p.config.Status.Settings {
			if s.State == lockstepv1alpha1.SettingRefused && idOf(w.Place) == idOfStatus(s) &&
				w.Objection == "" && s.Digest == p.key.digest(w.Text) && strings.HasPrefix(s.Message, tried) {
				w.Objection = s.Message
			}
		}
	}
}

func (p *pass) storeOf(ref *lockstepv1alpha1.StoreReference) string {
	if ref == nil {
		ref = p.config.Spec.StoreRef
	}

	return ref.Name
}

// single is what one item of settings asks for: nothing if its source is optional and not there.
func (p *pass) single(s *lockstepv1alpha1.LiveSetting) []asked {
	a := asked{store: p.storeOf(s.StoreRef), single: true}

	if s.Password != nil {
		return p.password(s.Password, a)
	}

	a.Setting = settingOf(s.LiveScope, s.Name)

	if s.Value != nil {
		a.Text, a.Source = *s.Value, "the spec"
	} else if !p.take(s.ValueFrom, &a) {
		return nil
	}

	if s.Validate != "" && !a.Missing {
		a.Objection = invalid(s.Validate, a.Text)
	}

	return []asked{a}
}

func settingOf(s lockstepv1alpha1.LiveScope, name string) live.Setting {
	return live.Setting{Who: s.Who, Database: s.Database, Role: s.Role, Prefix: s.Prefix, Name: name}
}

// take reads a value, or notes what is missing of it. It returns false when it is optional and not there.
func (p *pass) take(from *lockstepv1alpha1.ValueSource, a *asked) bool {
	k, key, optional := keyOf(p.where.Namespace, from)
	text, found, missing := p.contents.value(k, key)

	if !found && optional {
		return false
	}

	a.Text, a.Missing, a.Objection, a.Source = text, !found, missing, sourceName(k, key)

	return true
}

func sourceName(k refs.Key, key string) string { return k.Local() + "[" + key + "]" }

func (p *pass) password(s *lockstepv1alpha1.LivePassword, a asked) []asked {
	role, alias := s.Role, ""

	if s.RoleFrom != nil {
		named := asked{}
		if !p.take(s.RoleFrom, &named) {
			return nil
		}

		if named.Missing {
			a.Setting, a.Missing, a.Objection = live.Setting{Password: true}, true, named.Objection

			return []asked{a}
		}

		role = named.Text
		// The name may be a secret too: it is told apart, and not told.
		alias = named.Source + "#" + p.key.digest(role)[:6]
	}

	a.Setting = live.Setting{Role: role, Alias: alias, Password: true}
	a.Keep = s.Mode == lockstepv1alpha1.PasswordDual

	if !p.take(&s.ValueFrom, &a) {
		return nil
	}

	// As with the credentials of a LiveStore: a line's end is no part of a password.
	a.Text = strings.TrimRight(a.Text, "\r\n")

	if !a.Missing && a.Text == "" {
		a.Objection = "is empty in " + a.Source + ": a password has at least one character"
	}

	return []asked{a}
}

// wholeName stands for the settings of a source that is not there.
const wholeName = "*"

// whole is what the keys of a ConfigMap or a Secret ask for.
func (p *pass) whole(f *lockstepv1alpha1.LiveSource) []asked {
	k, optional := wholeSource(p.where.Namespace, f)
	a := asked{store: p.storeOf(f.StoreRef)}

	data, there := p.contents.read[k]
	if !there {
		if optional {
			return nil
		}

		a.Setting, a.Missing = settingOf(f.LiveScope, wholeName), true
		a.Objection = fmt.Sprintf("waits: %s %s does not exist", k.Kind, k.Name)

		return []asked{a}
	}

	var all []asked

	for _, key := range slices.Sorted(maps.Keys(data)) {
		one := a
		one.Setting, one.Text, one.Source = settingOf(f.LiveScope, key), string(data[key]), sourceName(k, key)
		all = append(all, one)
	}

	return all
}

// invalid says why a text does not satisfy a setting's own expression; empty if it does.
func invalid(expression, text string) string {
	program, err := verify.Compile(expression, verify.Variable{Name: "value", Kind: verify.Text})
	if err != nil {
		return fmt.Sprintf("has a validate expression that cannot be used: %s", err.Error())
	}

	holds, err := program.Holds(map[string]any{"value": text})
	if err != nil {
		return fmt.Sprintf("has a validate expression that fails: %s", err.Error())
	}

	if !holds {
		return fmt.Sprintf("does not satisfy its validate expression %s", expression)
	}

	return ""
}

// expand finds the nodes of what is asked for. Of two items for one setting the single one has it, else the later one;
// single ones come first.
func (p *pass) expand(all []asked) []live.Want {
	type spot struct {
		store   string
		setting live.Setting
	}

	var order []spot

	chosen := map[spot]int{}

	for i := range all {
		p.adapt(&all[i])

		at := spot{all[i].store, all[i].Setting}

		switch j, taken := chosen[at]; {
		case !taken:
			chosen[at] = i
			order = append(order, at)
		case all[i].single:
			all[j].Objection, all[j].Missing = "is asked for twice in settings: take one of the two out", false
		case !all[j].single:
			chosen[at] = i
		}
	}

	var wants []live.Want
	for _, at := range order {
		wants = append(wants, p.at(all[chosen[at]])...)
	}

	return wants
}

// adapt gives what is asked for the form in which the store's type knows settings.
func (p *pass) adapt(a *asked) {
	h, err := p.store(a.store)
	if err != nil {
		return
	}

	if h.spec.Type == lockstepv1alpha1.StoreCeph && a.Setting.Who == "" && !a.Setting.Password {
		a.Setting.Who = defaultWho
	}

	a.written = a.Setting.Name
	if a.Setting.Password {
		a.written = "password=" + a.Setting.Role
	}

	if h.driver.Normalise != nil {
		a.Setting = h.driver.Normalise(a.Setting)
	}
}

// at is what is asked for at every node.
func (p *pass) at(a asked) []live.Want {
	w := a.Want
	w.Store = a.store

	h, err := p.store(a.store)
	if err != nil {
		if w.Objection == "" {
			w.Objection, w.Missing = err.Error(), true
		}

		return p.atFormer(w)
	}

	name := w.Setting.Name
	if w.Setting.Password {
		name = "password=" + w.Setting.Role
	}

	switch h.permit(a, name) {
	case live.Denied:
		w.Objection, w.Missing = "is on the list settings.deny of LiveStore "+a.store, false
	case live.Unlisted:
		w.Objection, w.Missing = "is not on the list settings.allow of LiveStore "+a.store, false
	case live.Named:
		w.Allowed = true
	case live.Open:
	}

	wants := make([]live.Want, 0, len(h.nodes))

	for _, node := range h.names() {
		w.Node = node
		wants = append(wants, w)
	}

	return wants
}

// atFormer is what is asked for at the nodes that the status knows of, while those of now are not known.
func (p *pass) atFormer(w live.Want) []live.Want {
	var wants []live.Want

	for _, s := range p.config.Status.Settings {
		if s.Store == w.Store && s.ID == w.Setting.ID() {
			w.Node = s.Node
			wants = append(wants, w)
		}
	}

	if len(wants) == 0 {
		return []live.Want{w}
	}

	return wants
}

// permit looks a setting up in the lists, by the name as it was written and by the one that the store's type has for it.
func (h *handle) permit(a asked, name string) live.Permission {
	// A whole source that is not there has no names yet.
	if a.Missing {
		return live.Open
	}

	allow, deny := h.spellings(h.spec.Settings.Allow), h.spellings(h.spec.Settings.Deny)
	one, other := live.Permit(name, allow, deny), live.Permit(a.written, allow, deny)

	for _, p := range []live.Permission{live.Denied, live.Named, live.Open} {
		if one == p || other == p {
			return p
		}
	}

	return live.Unlisted
}

// spellings are the items of a list as they were written, and as the store's type has them.
func (h *handle) spellings(items []string) []string {
	all := slices.Clone(items)

	if h.driver.Normalise != nil {
		for _, item := range items {
			all = append(all, h.driver.Normalise(live.Setting{Name: item}).Name)
		}
	}

	return all
}

// storeKey is a store of this LiveConfig.
func (p *pass) storeKey(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: p.where.Namespace, Name: name}
}
