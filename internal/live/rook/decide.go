package rook

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// The label of the objects that are ours, and its value.
const (
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "lockstep"
)

// The kinds of the objects that are ours.
const (
	KindLiveStore  = "LiveStore"
	KindLiveConfig = "LiveConfig"
)

// Observed is what there is in one namespace. Nothing of it is changed.
type Observed struct {
	// Sources are the objects of Rook.
	Sources []*Source
	// Monitors and Credentials are nil where the ConfigMap, or the Secret, is not there.
	Monitors    *Monitors
	Credentials *Credentials
	// Stores and Configs are all of the namespace, by name.
	Stores  map[string]*lockstepv1alpha1.LiveStore
	Configs map[string]*lockstepv1alpha1.LiveConfig
}

// Object is one that has to be written or deleted.
type Object struct {
	// Kind is [KindLiveStore] or [KindLiveConfig].
	Kind, Name string
	// UID of the object that is there; empty when there is none.
	UID types.UID
	// Owner is the object of Rook that it is for.
	Owner Reference
	// Store or Config is what it has to say; both are nil for one that has to go. What they leave out is anybody's.
	Store  *lockstepv1alpha1.LiveStoreSpec
	Config *lockstepv1alpha1.LiveConfigSpec
}

// Plan is what has to be done in one namespace.
type Plan struct {
	// Write are the objects that are not as they should be; the LiveStore comes before those that need it.
	Write []Object
	// Delete are the objects that nobody asks for any more.
	Delete []Object
	// Notices are what people should know.
	Notices []Notice
	// Ours says that there are objects of ours, also if they have to go.
	Ours bool
	// Followed are the LiveConfigs, by name, of which it is told on an object of Rook how far they are.
	Followed map[string]Reference
}

// Decide compares what there is with what the objects of Rook ask for.
func Decide(o Observed) Plan {
	d := &decision{Observed: o, wanted: map[string]bool{}, plan: Plan{Followed: map[string]Reference{}}}
	d.Sources = slices.SortedFunc(slices.Values(o.Sources), func(a, b *Source) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Created, b.Created), cmp.Compare(a.Name, b.Name))
	})

	for _, s := range d.Sources {
		d.plan.Notices = append(d.plan.Notices, s.Notices...)
	}

	if cluster := d.cluster(); cluster != nil {
		d.serve(cluster)
	}

	d.clear()

	return d.plan
}

// decision is the work on one plan.
type decision struct {
	Observed

	plan Plan
	// wanted are the objects that stay, as kind/name.
	wanted map[string]bool
}

func (d *decision) say(reason Reason, related Related, message string, about ...*Source) {
	waits := reason == ReasonWaitingForMonitors || reason == ReasonWaitingForLogin

	for _, s := range about {
		d.plan.Notices = append(d.plan.Notices, Notice{
			About: s.Reference, Related: related, Reason: reason, Message: message, Warning: !waits,
		})
	}
}

// cluster returns the CephCluster of the namespace; nil when there is none. Rook has one in each: where there are more, the
// oldest counts.
func (d *decision) cluster() *Source {
	var first *Source

	for _, s := range d.Sources {
		switch {
		case s.Kind == KindCluster && first == nil:
			first = s
		case s.Kind == KindCluster && s.Asks:
			d.say(ReasonSecondCluster, Related{Kind: string(KindCluster), Name: first.Name}, fmt.Sprintf(
				"no setting of it is made live: the CephCluster %s in this namespace is older, and Rook has one in each", first.Name), s)
		case s.Kind == KindObjectStore && first == nil && s.Asks:
			d.say(ReasonNoCluster, Related{}, "no setting of it is made live: there is no CephCluster in this namespace", s)
		}
	}

	return first
}

// serve has the settings of a cluster, and of the object stores in it, made live.
func (d *decision) serve(cluster *Source) {
	var asking []*Source

	for _, s := range d.Sources {
		if s.Asks && !s.Deleting && (s == cluster || s.Kind == KindObjectStore) {
			asking = append(asking, s)
			d.wanted[KindLiveConfig+"/"+ConfigName(cluster.Name, s.Reference)] = true
		}
	}

	// One that somebody's LiveConfig refers to is kept up as well: it may have something to put back.
	name := StoreName(cluster.Name)
	if len(asking) == 0 && (d.Stores[name] == nil || !d.inUse(name)) {
		return
	}

	d.wanted[KindLiveStore+"/"+name] = true

	if !d.store(cluster, asking) {
		return
	}

	for _, s := range asking {
		d.config(cluster, s)
	}
}

// store has the LiveStore of a cluster written when it is not as it should be, and says whether there is, or will be, one to
// refer to.
func (d *decision) store(cluster *Source, asking []*Source) bool {
	object := Object{Kind: KindLiveStore, Name: StoreName(cluster.Name), Owner: cluster.Reference}
	object.Store = d.storeSpec(cluster, asking)

	have := d.Stores[object.Name]
	if have == nil {
		if object.Store != nil {
			d.plan.Write = append(d.plan.Write, object)
		}

		return object.Store != nil
	}

	if have.DeletionTimestamp != nil || !d.isOurs(have, object, asking...) {
		return false
	}

	if object.Store != nil && !carriesStore(&have.Spec, object.Store) {
		object.UID = have.UID
		d.plan.Write = append(d.plan.Write, object)
	}

	return true
}

// storeSpec is how to reach a cluster; nil when that is not known.
func (d *decision) storeSpec(cluster *Source, asking []*Source) *lockstepv1alpha1.LiveStoreSpec {
	endpoints, credentials := d.endpoints(asking), d.credentials(cluster, asking)
	if len(endpoints) == 0 || credentials == nil {
		return nil
	}

	return &lockstepv1alpha1.LiveStoreSpec{Type: lockstepv1alpha1.StoreCeph, Endpoints: endpoints, Credentials: credentials}
}

// endpoints returns where the monitors listen.
func (d *decision) endpoints(asking []*Source) []string {
	list := Related{Kind: "ConfigMap", Name: MonitorsConfigMap}

	switch {
	case d.Monitors == nil:
		d.say(ReasonWaitingForMonitors, list, fmt.Sprintf(
			"the ConfigMap %s, in which Rook lists the monitors, is not there", MonitorsConfigMap), asking...)

		return nil
	case len(d.Monitors.Unreadable) > 0:
		d.say(ReasonInvalidMonitor, list, fmt.Sprintf("the ConfigMap %s lists monitors that cannot be read as name=IP:port: %q",
			MonitorsConfigMap, d.Monitors.Unreadable), asking...)
	case len(d.Monitors.Endpoints) == 0:
		d.say(ReasonWaitingForMonitors, list, fmt.Sprintf("the ConfigMap %s lists no monitor yet", MonitorsConfigMap), asking...)
	}

	return d.Monitors.Endpoints
}

// credentials returns where the login is.
func (d *decision) credentials(cluster *Source, asking []*Source) *lockstepv1alpha1.StoreCredentials {
	login := Related{Kind: "Secret", Name: CredentialsSecret}

	switch {
	case cluster.Credentials != "":
		return new(credentialsIn(cluster.Credentials))
	case d.Credentials == nil:
		d.say(ReasonWaitingForLogin, login, fmt.Sprintf(
			"the Secret %s, in which Rook keeps the login, is not there", CredentialsSecret), asking...)

		return nil
	case d.Credentials.Problem != "":
		d.say(ReasonNoLogin, login, d.Credentials.Problem, asking...)

		return nil
	default:
		return &d.Credentials.Store
	}
}

// config has the LiveConfig of an object of Rook written when it is not as it should be.
func (d *decision) config(cluster, s *Source) {
	object := Object{Kind: KindLiveConfig, Name: ConfigName(cluster.Name, s.Reference), Owner: s.Reference}
	object.Config = &lockstepv1alpha1.LiveConfigSpec{
		StoreRef: &lockstepv1alpha1.StoreReference{Name: StoreName(cluster.Name)},
		Settings: s.Settings,
		Policy: lockstepv1alpha1.LivePolicy{
			OnRemove: s.OnRemove, Atomicity: s.Atomicity, RestartRequired: lockstepv1alpha1.RestartWrite,
		},
	}

	have := d.Configs[object.Name]
	if have != nil {
		if have.DeletionTimestamp != nil || !d.isOurs(have, object, s) {
			return
		}

		d.plan.Followed[object.Name] = s.Reference
		object.UID = have.UID
	}

	// With nothing that can be read, what was read before stays in force.
	if len(s.Settings) > 0 && (have == nil || !carriesConfig(&have.Spec, object.Config)) {
		d.plan.Write = append(d.plan.Write, object)
	}
}

// isOurs says whether the object that has the name is ours. One that is somebody else's is told of; what an object of Rook
// with this name has left that was there before is on its way out.
func (d *decision) isOurs(have metav1.Object, object Object, about ...*Source) bool {
	owner, ours := rookOwner(have)
	if !ours || owner.Kind != object.Owner.Kind || owner.Name != object.Owner.Name {
		d.say(ReasonNameTaken, Related{Kind: object.Kind, Name: object.Name}, fmt.Sprintf(
			"the %s %s is there and is not managed by Lockstep for this object: it is left alone, "+
				"and no setting is made live until it is renamed or gone", object.Kind, object.Name), about...)

		return false
	}

	return owner.UID == object.Owner.UID
}

// clear has what nobody asks for go: the LiveConfigs first, which may have something to put back, and a LiveStore once
// no LiveConfig refers to it. The server would delete what a deleted object of Rook owned, but in no order, and not when
// the kind is gone as well.
func (d *decision) clear() {
	for _, name := range slices.Sorted(maps.Keys(d.Configs)) {
		d.remove(KindLiveConfig, d.Configs[name])
	}

	for _, name := range slices.Sorted(maps.Keys(d.Stores)) {
		d.remove(KindLiveStore, d.Stores[name])
	}
}

// remove has an object of ours go, unless it is wanted by the one that owns it.
func (d *decision) remove(kind string, have metav1.Object) {
	owner, ours := rookOwner(have)
	if !ours {
		return
	}

	d.plan.Ours = true
	orphan := !slices.ContainsFunc(d.Sources, func(s *Source) bool { return s.UID == owner.UID })
	wanted := d.wanted[kind+"/"+have.GetName()] && !orphan || kind == KindLiveStore && d.inUse(have.GetName())

	if !wanted && have.GetDeletionTimestamp() == nil {
		d.plan.Delete = append(d.plan.Delete, Object{Kind: kind, Name: have.GetName(), UID: have.GetUID(), Owner: owner})
	}
}

// rookOwner returns the object of Rook that an object of ours is for.
func rookOwner(o metav1.Object) (owner Reference, ours bool) {
	if o.GetLabels()[LabelManagedBy] != ManagedBy {
		return Reference{}, false
	}

	for _, ref := range o.GetOwnerReferences() {
		if kind := Kind(ref.Kind); ref.APIVersion == GroupVersion().String() && (kind == KindCluster || kind == KindObjectStore) {
			return Reference{Kind: kind, Namespace: o.GetNamespace(), Name: ref.Name, UID: ref.UID}, true
		}
	}

	return Reference{}, false
}

// inUse says whether any LiveConfig refers to a LiveStore.
func (d *decision) inUse(store string) bool {
	is := func(ref *lockstepv1alpha1.StoreReference) bool { return ref != nil && ref.Name == store }

	for _, c := range d.Configs {
		if is(c.Spec.StoreRef) ||
			slices.ContainsFunc(c.Spec.Settings, func(s lockstepv1alpha1.LiveSetting) bool { return is(s.StoreRef) }) ||
			slices.ContainsFunc(c.Spec.From, func(f lockstepv1alpha1.LiveSource) bool { return is(f.StoreRef) }) {
			return true
		}
	}

	return false
}
