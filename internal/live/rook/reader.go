package rook

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// reader reads one object.
type reader struct {
	object *unstructured.Unstructured
	source Source
	added  map[address]bool
}

// address is where a setting is.
type address struct{ who, name string }

func newReader(kind Kind, o *unstructured.Unstructured) *reader {
	created, _, _ := unstructured.NestedString(o.Object, "metadata", "creationTimestamp")
	r := &reader{object: o, added: map[address]bool{}, source: Source{
		Reference: Reference{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID()},
		Created:   created,
		Deleting:  o.GetDeletionTimestamp() != nil,
	}}

	whole, parts := lockstepv1alpha1.AtomicAll, lockstepv1alpha1.AtomicBestEffort
	atomicities := []lockstepv1alpha1.Atomicity{parts, whole}

	if kind == KindObjectStore {
		atomicities = []lockstepv1alpha1.Atomicity{whole, parts}
	}

	r.source.Atomicity = choice(r, AnnotationAtomicity, atomicities...)
	r.source.OnRemove = choice(r, AnnotationOnRemove,
		lockstepv1alpha1.RemoveKeep, lockstepv1alpha1.RemoveRestore, lockstepv1alpha1.RemoveUnset)

	return r
}

// choice reads an annotation that has one of a few values, of which the first is the default.
func choice[T ~string](r *reader, annotation string, values ...T) T {
	text, there := r.object.GetAnnotations()[annotation]

	switch {
	case !there:
		return values[0]
	case slices.Contains(values, T(text)):
		return T(text)
	}

	r.notice("metadata.annotations["+annotation+"]", ReasonInvalidAnnotation, fmt.Sprintf(
		"the annotation %s is %q, which is none of %q: it counts as %q", annotation, text, values, values[0]))

	return values[0]
}

// mapping returns a field that is a map; none when it is not there.
func (r *reader) mapping(path ...string) map[string]any {
	value, _, _ := unstructured.NestedFieldNoCopy(r.object.Object, path...)
	if value == nil {
		return nil
	}

	found, ok := value.(map[string]any)
	if !ok {
		r.notice(strings.Join(path, "."), ReasonInvalidSetting, strings.Join(path, ".")+" is not a map and is left out")
	}

	return found
}

// sections returns a field that is a map of maps.
func (r *reader) sections(path ...string) map[string]map[string]any {
	sections := map[string]map[string]any{}

	for who := range r.mapping(path...) {
		sections[who] = r.mapping(append(slices.Clone(path), who)...)
	}

	return sections
}

// plain returns which settings are in cephConfig.
func (r *reader) plain() map[address]bool {
	found := map[address]bool{}

	for who, options := range r.sections("spec", "cephConfig") {
		for option := range options {
			found[address{who, optionName(option)}] = true
		}
	}

	return found
}

// add reads one setting. One that cannot be read is left out, with a notice: it holds up no other.
func (r *reader) add(field, who, option string, selector any) {
	r.source.Asks = true
	ref, problem := keyReference(selector)
	name := optionName(option)

	switch {
	case who == "" || len(who) > maxWho:
		problem = fmt.Sprintf("the section has 1 to %d characters", maxWho)
	case name == "" || len(name) > maxName:
		problem = fmt.Sprintf("the option has 1 to %d characters", maxName)
	case problem == "" && r.added[address{who, name}]:
		problem = "the option is there twice, in two spellings: this one is left out"
	}

	if problem != "" {
		r.notice(field, ReasonInvalidSetting, fmt.Sprintf("%s/%s is left out: %s", who, option, problem))

		return
	}

	if strings.Contains(who, "*") {
		r.notice(field, ReasonSettingIneffective, fmt.Sprintf(
			"%s/%s is for one daemon whose name has a * in it: no daemon reads it. Write the type of the daemons alone, such as osd",
			who, option))
	}

	r.added[address{who, name}] = true
	r.source.Settings = append(r.source.Settings, lockstepv1alpha1.LiveSetting{
		LiveScope: lockstepv1alpha1.LiveScope{Who: who}, Name: name,
		ValueFrom: &lockstepv1alpha1.ValueSource{SecretKeyRef: ref},
	})
}

// keyReference reads a reference to a key of a Secret, or says what is wrong with it.
func keyReference(selector any) (ref *lockstepv1alpha1.KeyReference, problem string) {
	fields, ok := selector.(map[string]any)
	if !ok {
		return nil, "it is not a reference to a key of a Secret"
	}

	name, _ := fields["name"].(string)
	key, _ := fields["key"].(string)
	optional, _ := fields["optional"].(bool)

	if name == "" || len(name) > maxRef || key == "" || len(key) > maxRef {
		return nil, fmt.Sprintf("name and key of the Secret have 1 to %d characters each", maxRef)
	}

	return &lockstepv1alpha1.KeyReference{Name: name, Key: key, Optional: optional}, ""
}

// finish returns what was read.
func (r *reader) finish(field string) *Source {
	slices.SortFunc(r.source.Settings, func(a, b lockstepv1alpha1.LiveSetting) int {
		return cmp.Or(cmp.Compare(a.Who, b.Who), cmp.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(r.source.Notices, func(a, b Notice) int { return cmp.Compare(a.Field, b.Field) })

	if extra := len(r.source.Settings) - maxSettings; extra > 0 {
		first := r.source.Settings[maxSettings]
		r.source.Settings = r.source.Settings[:maxSettings]
		r.notice(field, ReasonTooManySettings, fmt.Sprintf(
			"only %d settings can come from Secrets: the last %d, from %s/%s on, are left out", maxSettings, extra, first.Who, first.Name))
	}

	return &r.source
}

func (r *reader) notice(field string, reason Reason, message string) {
	r.source.Notices = append(r.source.Notices, Notice{
		About: r.source.Reference, Field: field, Reason: reason, Message: message,
		// To give a setting in both ways can be meant so.
		Warning: reason != ReasonSettingOverruled,
	})
}
