package rook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// GroupVersion returns the group and version of Rook's kinds.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "ceph.rook.io", Version: "v1"}
}

// Kind is a kind of Rook.
type Kind string

// The kinds that have settings from Secrets.
const (
	KindCluster     Kind = "CephCluster"
	KindObjectStore Kind = "CephObjectStore"
)

// Resource returns the resource of the kind.
func (k Kind) Resource() schema.GroupVersionResource {
	return GroupVersion().WithResource(strings.ToLower(string(k)) + "s")
}

// Annotations on objects of Rook that change how their settings are made live.
const (
	// AnnotationOnRemove is what becomes of a setting that is no longer asked for: keep, which is the default here since
	// Rook unsets nothing, restore or unset.
	AnnotationOnRemove = "lockstep.dev/on-remove"
	// AnnotationAtomicity is all or best-effort. The default is best-effort for a CephCluster, whose options have nothing to
	// do with each other, and all for a CephObjectStore, whose options are those of one service.
	AnnotationAtomicity = "lockstep.dev/atomicity"
	// AnnotationCredentials, on a CephCluster, is the name of a Secret that is used instead of Rook's own. It has the same
	// keys: ceph-username and ceph-secret.
	AnnotationCredentials = "lockstep.dev/credentials" //nolint:gosec // a name
)

// What a LiveConfig can hold.
const (
	maxSettings = 256
	maxWho      = 253
	maxName     = 1024
	maxRef      = 253
)

// Reference names an object of Rook.
type Reference struct {
	Kind            Kind
	Namespace, Name string
	UID             types.UID
}

// Source is what one object of Rook asks for. It is never changed once it is read.
type Source struct {
	Reference

	// Created is when it was made, as the server writes it: the older text is the smaller one.
	Created string
	// Deleting says that the object is on its way out.
	Deleting bool
	// Asks says that there is a setting from a Secret that nothing overrules, also if it cannot be read.
	Asks bool
	// Settings are those that can be read, sorted by who and name.
	Settings []lockstepv1alpha1.LiveSetting
	// OnRemove and Atomicity are the policy.
	OnRemove  lockstepv1alpha1.OnRemove
	Atomicity lockstepv1alpha1.Atomicity
	// Credentials is the name of the Secret to be used instead of Rook's; empty for Rook's.
	Credentials string
	// Notices are what people should know about the object, in a stable order.
	Notices []Notice
}

// ReadCluster reads a CephCluster.
func ReadCluster(o *unstructured.Unstructured) *Source {
	r := newReader(KindCluster, o)
	r.source.Credentials = o.GetAnnotations()[AnnotationCredentials]

	if len(r.source.Credentials) > maxRef {
		r.source.Credentials = ""
		r.notice("metadata.annotations["+AnnotationCredentials+"]", ReasonInvalidAnnotation, fmt.Sprintf(
			"the annotation %s is longer than the name of a Secret can be: Rook's own Secret is used", AnnotationCredentials))
	}

	secret := r.sections("spec", "cephConfigFromSecret")
	plain := r.plain()

	for _, who := range slices.Sorted(maps.Keys(secret)) {
		for _, option := range slices.Sorted(maps.Keys(secret[who])) {
			field := fmt.Sprintf("spec.cephConfigFromSecret[%s][%s]", who, option)

			if plain[address{who, optionName(option)}] {
				r.notice(field, ReasonSettingOverruled, fmt.Sprintf(
					"%s/%s is also in spec.cephConfig, which wins: the Secret is not used for it", who, option))

				continue
			}

			r.add(field, who, option, secret[who][option])
		}
	}

	return r.finish("spec.cephConfigFromSecret")
}

// ReadObjectStore reads a CephObjectStore. Its Secrets win over its rgwConfig.
func ReadObjectStore(o *unstructured.Unstructured) *Source {
	const field = "spec.gateway.rgwConfigFromSecret"

	r := newReader(KindObjectStore, o)
	options := r.mapping("spec", "gateway", "rgwConfigFromSecret")

	for _, option := range slices.Sorted(maps.Keys(options)) {
		r.add(fmt.Sprintf("%s[%s]", field, option), gateway(o.GetName()), option, options[option])
	}

	return r.finish(field)
}

// gateway is whose configuration an object store's gateways read: Rook makes dots of the dashes in the store's name, and
// calls all of them a.
func gateway(store string) string {
	return "client.rgw." + strings.ReplaceAll(store, "-", ".") + ".a"
}

// optionName is the spelling that the monitors take. A configuration file may also have blanks and dashes. What belongs to
// a module of the manager is spelt as the module does.
func optionName(text string) string {
	if strings.HasPrefix(text, "mgr/") {
		return text
	}

	return strings.NewReplacer(" ", "_", "-", "_").Replace(text)
}
