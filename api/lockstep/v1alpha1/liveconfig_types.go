package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LiveConfig keeps settings live in running stores: checked before, read back after, and put back together if one fails.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,path=liveconfigs,categories=lockstep
// +kubebuilder:printcolumn:name="STORE",type=string,JSONPath=`.spec.storeRef.name`
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="REASON",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="REVISION",type=integer,JSONPath=`.status.revision`
// +kubebuilder:printcolumn:name="CHANGED",type=date,JSONPath=`.status.history[0].time`
// +kubebuilder:printcolumn:name="MESSAGE",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 200",message="the name is at most 200 characters: its records are named after it"
type LiveConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +required
	Spec   LiveConfigSpec   `json:"spec,omitzero"`
	Status LiveConfigStatus `json:"status,omitzero"`
}

// LiveConfigList is a list of live configurations.
//
// +kubebuilder:object:root=true
type LiveConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []LiveConfig `json:"items"`
}

// LiveConfigSpec is what is to be live.
//
// +kubebuilder:validation:XValidation:rule="has(self.settings) || has(self.from)",message="give settings, from, or both"
// +kubebuilder:validation:XValidation:rule="has(self.storeRef) || ((!has(self.settings) || self.settings.all(s, has(s.storeRef))) && (!has(self.from) || self.from.all(f, has(f.storeRef))))",message="give storeRef, or one for each of settings and from"
type LiveConfigSpec struct {
	// StoreRef is the store of all settings that do not name another.
	//
	// +optional
	StoreRef *StoreReference `json:"storeRef,omitempty"`
	// Settings are single settings. They win over those of from.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Settings []LiveSetting `json:"settings,omitempty"`
	// From are whole ConfigMaps and Secrets of which each key is the name of a setting. A later one wins over an earlier one.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	From []LiveSource `json:"from,omitempty"`
	// Policy says how changes are made.
	//
	// +optional
	Policy LivePolicy `json:"policy,omitzero"`
	// Checks must hold after a change, or the change is taken back.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Checks []Check `json:"checks,omitempty"`
}

// StoreReference is a LiveStore in the same namespace.
type StoreReference struct {
	// Name of the LiveStore.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// LiveScope is where in a store settings live. Which of the fields go with a store depends on its type.
//
// +kubebuilder:validation:XValidation:rule="!has(self.who) || (!has(self.database) && !has(self.role) && !has(self.prefix))",message="who goes alone: it is for Ceph"
// +kubebuilder:validation:XValidation:rule="!has(self.prefix) || (!has(self.database) && !has(self.role))",message="prefix goes alone: it is for etcd and HTTP"
type LiveScope struct {
	// Who is the section of Ceph's configuration database: global, mon, osd.0, client.rgw.a, osd/class:ssd. Default "global".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Who string `json:"who,omitempty"`
	// Database is the PostgreSQL database for which alone a setting holds.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Database string `json:"database,omitempty"`
	// Role is the PostgreSQL role for which alone a setting holds.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Role string `json:"role,omitempty"`
	// Prefix comes before the names of etcd's keys, or is {prefix} in the paths of HTTP.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Prefix string `json:"prefix,omitempty"`
}

// LiveSetting is one setting.
//
// +kubebuilder:validation:XValidation:rule="has(self.password) != has(self.name)",message="give either name, with value or valueFrom, or password"
// +kubebuilder:validation:XValidation:rule="has(self.password) || has(self.value) != has(self.valueFrom)",message="give either value or valueFrom"
// +kubebuilder:validation:XValidation:rule="!has(self.password) || (!has(self.value) && !has(self.valueFrom) && !has(self.who) && !has(self.database) && !has(self.role) && !has(self.prefix))",message="password has its own role and valueFrom: nothing but storeRef goes with it"
type LiveSetting struct {
	LiveScope `json:",inline"`

	// StoreRef is the store, if it is not the one of the whole.
	//
	// +optional
	StoreRef *StoreReference `json:"storeRef,omitempty"`
	// Name of the setting as the store calls it.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name,omitempty"`
	// Value as text. Everybody who may read this object can read it: take valueFrom for a secret.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Value *string `json:"value,omitempty"`
	// ValueFrom is where the value is.
	//
	// +optional
	ValueFrom *ValueSource `json:"valueFrom,omitempty"`
	// Password is a password of the store itself, instead of a setting with a name.
	//
	// +optional
	Password *LivePassword `json:"password,omitempty"`
	// Validate is a CEL expression over the text value, and must be true before anything is written: for stores that take
	// any text, such as etcd.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Validate string `json:"validate,omitempty"`
}

// ValueSource is a key of a ConfigMap or a Secret in the same namespace.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretKeyRef) != has(self.configMapKeyRef)",message="give either secretKeyRef or configMapKeyRef"
type ValueSource struct {
	// SecretKeyRef is a key of a Secret.
	//
	// +optional
	SecretKeyRef *KeyReference `json:"secretKeyRef,omitempty"`
	// ConfigMapKeyRef is a key of a ConfigMap.
	//
	// +optional
	ConfigMapKeyRef *KeyReference `json:"configMapKeyRef,omitempty"`
}

// KeyReference is a key of an object in the same namespace.
type KeyReference struct {
	// Name of the object.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Key in it.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
	// Optional makes a key that is not there the same as a setting that is not asked for.
	//
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// PasswordMode is what becomes of a role's former password.
//
// +kubebuilder:validation:Enum=swap;dual
type PasswordMode string

// The modes.
const (
	// PasswordSwap replaces the former password at once.
	PasswordSwap PasswordMode = "swap"
	// PasswordDual lets the former password be valid besides, until retireAfter is over.
	PasswordDual PasswordMode = "dual"
)

// LivePassword is the password of a role or user of the store.
//
// +kubebuilder:validation:XValidation:rule="has(self.role) != has(self.roleFrom)",message="give either role or roleFrom"
// +kubebuilder:validation:XValidation:rule="!has(self.retireAfter) || self.mode == 'dual'",message="retireAfter goes with mode dual"
type LivePassword struct {
	// Role is whose password it is.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Role string `json:"role,omitempty"`
	// RoleFrom is where the role's name is. With PostgreSQL, which has one password for each role, let it name one of two roles in
	// turn: the role of the former Secret stays as it is, so that nobody is locked out while clients move.
	//
	// +optional
	RoleFrom *ValueSource `json:"roleFrom,omitempty"`
	// ValueFrom is where the password is.
	//
	// +required
	ValueFrom ValueSource `json:"valueFrom,omitzero"`
	// Mode is "swap" or "dual". PostgreSQL knows swap alone. Default "swap".
	//
	// +optional
	// +kubebuilder:default=swap
	Mode PasswordMode `json:"mode,omitempty"`
	// RetireAfter is how long the former password stays valid with mode dual. Default "1h".
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="retireAfter is not negative"
	RetireAfter *metav1.Duration `json:"retireAfter,omitempty"`
}

// LiveSource is a whole ConfigMap or Secret.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.configMapRef)",message="give either secretRef or configMapRef"
type LiveSource struct {
	LiveScope `json:",inline"`

	// StoreRef is the store, if it is not the one of the whole.
	//
	// +optional
	StoreRef *StoreReference `json:"storeRef,omitempty"`
	// SecretRef is a Secret.
	//
	// +optional
	SecretRef *ObjectReference `json:"secretRef,omitempty"`
	// ConfigMapRef is a ConfigMap.
	//
	// +optional
	ConfigMapRef *ObjectReference `json:"configMapRef,omitempty"`
}

// ObjectReference is an object in the same namespace.
type ObjectReference struct {
	// Name of the object.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Optional makes an object that is not there the same as one without keys.
	//
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// OnRemove is what becomes of a setting that is no longer asked for.
//
// +kubebuilder:validation:Enum=restore;unset;keep
type OnRemove string

// The ways to remove a setting.
const (
	// RemoveRestore puts back what was there before the setting was adopted.
	RemoveRestore OnRemove = "restore"
	// RemoveUnset lets the store's default hold. A store that cannot unset gets back what was there.
	RemoveUnset OnRemove = "unset"
	// RemoveKeep leaves it as it is.
	RemoveKeep OnRemove = "keep"
)

// OnFailure is what becomes of a change of which a part has failed.
//
// +kubebuilder:validation:Enum=rollback;hold
type OnFailure string

// The ways to fail.
const (
	// FailureRollback puts back what was there before the change.
	FailureRollback OnFailure = "rollback"
	// FailureHold leaves everything as it is for a person to look at.
	FailureHold OnFailure = "hold"
)

// OnDrift is what becomes of a setting that somebody else has changed in the store.
//
// +kubebuilder:validation:Enum=correct;report
type OnDrift string

// The ways to treat drift.
const (
	// DriftCorrect sets it again.
	DriftCorrect OnDrift = "correct"
	// DriftReport says so.
	DriftReport OnDrift = "report"
)

// RestartRequired is what becomes of a setting that the store takes up only when it starts.
//
// +kubebuilder:validation:Enum=write;refuse
type RestartRequired string

// The ways to treat settings that need a restart.
const (
	// RestartWrite writes it, and says that a restart is required.
	RestartWrite RestartRequired = "write"
	// RestartRefuse refuses it.
	RestartRefuse RestartRequired = "refuse"
)

// Atomicity is whether a change is made as a whole.
//
// +kubebuilder:validation:Enum=all;best-effort
type Atomicity string

// The atomicities.
const (
	// AtomicAll makes the change as a whole or not at all.
	AtomicAll Atomicity = "all"
	// AtomicBestEffort makes what can be made of it.
	AtomicBestEffort Atomicity = "best-effort"
)

// LivePolicy says how changes are made.
type LivePolicy struct {
	// OnRemove is what becomes of a setting that is no longer asked for, also when the LiveConfig is deleted: "restore",
	// "unset" or "keep". Default "restore".
	//
	// +optional
	// +kubebuilder:default=restore
	OnRemove OnRemove `json:"onRemove,omitempty"`
	// OnFailure is "rollback" or "hold". Default "rollback".
	//
	// +optional
	// +kubebuilder:default=rollback
	OnFailure OnFailure `json:"onFailure,omitempty"`
	// OnDrift is "correct" or "report". Default "correct".
	//
	// +optional
	// +kubebuilder:default=correct
	OnDrift OnDrift `json:"onDrift,omitempty"`
	// RestartRequired is "write" or "refuse". Default "write".
	//
	// +optional
	// +kubebuilder:default=write
	RestartRequired RestartRequired `json:"restartRequired,omitempty"`
	// SettleWindow is how long a change of a source waits for more, so that several edits are one change. Default "0s".
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="settleWindow is from 0s to 1h"
	SettleWindow *metav1.Duration `json:"settleWindow,omitempty"`
	// MinInterval is the least time between two changes. Default "0s".
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="minInterval is from 0s to 24h"
	MinInterval *metav1.Duration `json:"minInterval,omitempty"`
	// MaxChangesPerHour is the most changes within an hour; what comes then waits. Default: no limit.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	MaxChangesPerHour *int32 `json:"maxChangesPerHour,omitempty"`
	// Atomicity is "all" or "best-effort". Default "all".
	//
	// +optional
	// +kubebuilder:default=all
	Atomicity Atomicity `json:"atomicity,omitempty"`
	// HistoryLimit is how many changes are remembered. Default 10.
	//
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	HistoryLimit *int32 `json:"historyLimit,omitempty"`
	// DryRun checks, tells what would change, and changes nothing.
	//
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
	// Suspend leaves the stores alone, also when the LiveConfig is deleted while it is set.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// Check is a condition on what is observed.
type Check struct {
	// Name of the check.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Expression is CEL and must be true. The map values has, for each setting by its id as in the status, what the store says
	// that it is.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`
	// Message is told when it is not.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// SettingState is how far a setting is.
//
// +kubebuilder:validation:Enum=Applied;Pending;Refused;RestartRequired;Shadowed;Drifted;RolledBack
type SettingState string

// The states of a setting.
const (
	// SettingApplied: the store says that the value is in force.
	SettingApplied SettingState = "Applied"
	// SettingPending: the value is not in the store yet.
	SettingPending SettingState = "Pending"
	// SettingRefused: the value cannot be put there.
	SettingRefused SettingState = "Refused"
	// SettingRestartRequired: the value is in the store, which takes it up when it starts again.
	SettingRestartRequired SettingState = "RestartRequired"
	// SettingShadowed: the value is in the store, and something else outranks it.
	SettingShadowed SettingState = "Shadowed"
	// SettingDrifted: somebody else has changed it.
	SettingDrifted SettingState = "Drifted"
	// SettingRolledBack: the value was there and was taken back.
	SettingRolledBack SettingState = "RolledBack"
)

// SettingStatus is how far one setting is.
type SettingStatus struct {
	// Store is the name of the LiveStore.
	Store string `json:"store"`
	// Node is the endpoint, for a store of several nodes.
	//
	// +optional
	Node string `json:"node,omitempty"`
	// ID names the setting: its scope and its name.
	ID string `json:"id"`
	// State is how far it is.
	State SettingState `json:"state"`
	// Digest is a keyed digest of the value that is asked for.
	//
	// +optional
	Digest string `json:"digest,omitempty"`
	// Applied is a keyed digest of the value that was last asked for and in the store.
	//
	// +optional
	Applied string `json:"applied,omitempty"`
	// Stored is a keyed digest of what the store said that it had then, in its own form.
	//
	// +optional
	Stored string `json:"stored,omitempty"`
	// Message says why it is not applied, and what to do.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// Since when it is in this state.
	Since metav1.Time `json:"since"`
	// Awaits are the processes that still use what was there before and take the value up only when they start again, where the
	// store knows them: the daemon's name, and what tells this start of it from the next.
	//
	// +optional
	Awaits []string `json:"awaits,omitempty"`
	// RetireAt is when the former password, which is still valid besides, is made invalid.
	//
	// +optional
	RetireAt *metav1.Time `json:"retireAt,omitempty"`
}

// ObservedSource is a version of a source that the status tells of.
type ObservedSource struct {
	// Kind is ConfigMap, Secret or LiveStore.
	Kind string `json:"kind"`
	// Name of the object.
	Name string `json:"name"`
	// ResourceVersion that was read.
	//
	// +optional
	ResourceVersion string `json:"resourceVersion,omitempty"`
	// Digest is a keyed digest of what was read of it; empty when it was not there. Of a LiveStore it is the generation.
	//
	// +optional
	Digest string `json:"digest,omitempty"`
}

// ChangeOutcome is what became of a change.
//
// +kubebuilder:validation:Enum=Applied;RolledBack;RollingBack;Held
type ChangeOutcome string

// The outcomes of a change.
const (
	// ChangeApplied: it is in force.
	ChangeApplied ChangeOutcome = "Applied"
	// ChangeRolledBack: it failed, and what was there before is back.
	ChangeRolledBack ChangeOutcome = "RolledBack"
	// ChangeRollingBack: it failed, and what was there before is not back everywhere yet.
	ChangeRollingBack ChangeOutcome = "RollingBack"
	// ChangeHeld: it failed, and everything was left as it is.
	ChangeHeld ChangeOutcome = "Held"
)

// LiveChange is one change.
type LiveChange struct {
	// Revision counts the changes.
	Revision int64 `json:"revision"`
	// Time at which it began.
	Time metav1.Time `json:"time"`
	// Trigger is what it was made for: a source, the spec, drift, a removal.
	Trigger string `json:"trigger"`
	// Changed are the ids of the settings, with their store where there are several.
	//
	// +optional
	// +listType=atomic
	Changed []string `json:"changed,omitempty"`
	// Outcome is what became of it.
	Outcome ChangeOutcome `json:"outcome"`
	// Message says why it failed.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// Duration from its beginning to its outcome.
	Duration metav1.Duration `json:"duration"`
}

// LiveConfigStatus is how far a live configuration is.
type LiveConfigStatus struct {
	// ObservedGeneration is the generation of the spec that the status tells of.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Revision is the last change that is in force. The values of it, and those that were there before everything, are in the
	// Secret named by record.
	//
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// Record is the name of the immutable Secret with the values of the revision.
	//
	// +optional
	Record string `json:"record,omitempty"`
	// Settings in the order of the spec.
	//
	// +optional
	// +listType=atomic
	Settings []SettingStatus `json:"settings,omitempty"`
	// ObservedSources are the versions of the sources that the status tells of.
	//
	// +optional
	// +listType=atomic
	ObservedSources []ObservedSource `json:"observedSources,omitempty"`
	// History of changes, the newest first.
	//
	// +optional
	// +listType=atomic
	History []LiveChange `json:"history,omitempty"`
	// Conditions: Ready is derived from Prechecked, Applied, Verified, RolledBack and Stalled.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// The types of conditions.
const (
	// ConditionReady is true when every setting is in force.
	ConditionReady = "Ready"
	// ConditionPrechecked is true when the stores would accept every setting.
	ConditionPrechecked = "Prechecked"
	// ConditionApplied is true when every setting is in its store.
	ConditionApplied = "Applied"
	// ConditionVerified is true when the stores say so, and every check holds.
	ConditionVerified = "Verified"
	// ConditionRolledBack is true when the last change failed and what was there before is back.
	ConditionRolledBack = "RolledBack"
	// ConditionStalled is true when only a person can help.
	ConditionStalled = "Stalled"
)
