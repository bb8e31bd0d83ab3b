package reload

import (
	"slices"

	"github.com/lockstep-dev/lockstep/internal/refs"
)

// Our own annotation keys. They are fixed.
const (
	// MinIntervalKey holds, on the workload, the least time between two of its rollouts: a Go duration.
	MinIntervalKey = "lockstep.dev/min-interval"
	// FilterKey holds, on the workload, the keys that count of some of its sources: "cm/app=log-level,db.url".
	FilterKey = "lockstep.dev/keys"
	// CarriedKey holds, on the workload's metadata, what it last carried: see [Carried].
	CarriedKey = "lockstep.dev/carried"
	// ContentKey holds, on the pod template, a digest that is another one after every change that the compatible marker
	// does not show.
	ContentKey = "lockstep.dev/content"
)

// exactlyTrue is the only value that switches on search, match and ignore; auto is more liberal.
const exactlyTrue = "true"

// Strategy is how a restart is written into the pod template.
type Strategy string

// The strategies.
const (
	// EnvVars sets a variable of one container to the source's hash.
	EnvVars Strategy = "env-vars"
	// Annotations sets one annotation of the pod template, telling the last source that changed.
	Annotations Strategy = "annotations"
)

// Keys are the annotation keys that this dialect shares with existing tools; an installation may rename some.
type Keys struct {
	// On a workload, else on its pod template.
	Auto, ConfigMapAuto, SecretAuto, ClassAuto    string
	ConfigMapReload, SecretReload, ClassReload    string
	Search                                        string
	ConfigMapExclude, SecretExclude, ClassExclude string
	// On a source.
	Match, Ignore string
	// On a workload's metadata only.
	PausePeriod, PausedAt, RolloutStrategy string
	// Written to a pod template by the strategy [Annotations].
	LastReloadedFrom string
}

// DefaultKeys are the keys of an installation that renames none.
func DefaultKeys() Keys {
	return Keys{
		Auto:             "reloader.stakater.com/auto",
		ConfigMapAuto:    "configmap.reloader.stakater.com/auto",
		SecretAuto:       "secret.reloader.stakater.com/auto",
		ClassAuto:        "secretproviderclass.reloader.stakater.com/auto",
		ConfigMapReload:  "configmap.reloader.stakater.com/reload",
		SecretReload:     "secret.reloader.stakater.com/reload",
		ClassReload:      "secretproviderclass.reloader.stakater.com/reload",
		Search:           "reloader.stakater.com/search",
		ConfigMapExclude: "configmaps.exclude.reloader.stakater.com/reload",
		SecretExclude:    "secrets.exclude.reloader.stakater.com/reload",
		ClassExclude:     "secretproviderclasses.exclude.reloader.stakater.com/reload",
		Match:            "reloader.stakater.com/match",
		Ignore:           "reloader.stakater.com/ignore",
		PausePeriod:      "deployment.reloader.stakater.com/pause-period",
		PausedAt:         "deployment.reloader.stakater.com/paused-at",
		RolloutStrategy:  "reloader.stakater.com/rollout-strategy",
		LastReloadedFrom: "reloader.stakater.com/last-reloaded-from",
	}
}

// Options are the settings of an installation that say how annotations are read.
type Options struct {
	Keys Keys
	// AutoReloadAll makes workloads that say nothing about auto count as if they had asked for it.
	AutoReloadAll bool
}

// Wanted tells whether anything here reads or writes this annotation, on a workload, a pod template or a
// source. A cache can drop all others.
func (o Options) Wanted(key string) bool {
	k := o.Keys

	return slices.Contains([]string{
		k.Auto, k.ConfigMapAuto, k.SecretAuto, k.ClassAuto,
		k.ConfigMapReload, k.SecretReload, k.ClassReload,
		k.Search, k.Match, k.Ignore,
		k.ConfigMapExclude, k.SecretExclude, k.ClassExclude,
		k.PausePeriod, k.PausedAt, k.RolloutStrategy, k.LastReloadedFrom,
		MinIntervalKey, FilterKey, CarriedKey, ContentKey,
	}, key)
}

// Source is what its own annotations say about a source.
type Source struct {
	Key refs.Key
	// Ignored: nothing is reloaded for it.
	Ignored bool
	// Matched: workloads that search reload for it.
	Matched bool
}

// SourceOf reads the annotations of a source. For a SecretProviderClass they are those of the class, not of a
// pod's status.
func (o Options) SourceOf(key refs.Key, annotations map[string]string) Source {
	return Source{
		Key:     key,
		Ignored: annotations[o.Keys.Ignore] == exactlyTrue,
		Matched: annotations[o.Keys.Match] == exactlyTrue,
	}
}

// typed are the keys that concern one kind of source.
type typed struct{ auto, reload, exclude string }

func (k Keys) of(kind refs.Kind) typed {
	switch kind {
	case refs.ConfigMap:
		return typed{k.ConfigMapAuto, k.ConfigMapReload, k.ConfigMapExclude}
	case refs.Secret:
		return typed{k.SecretAuto, k.SecretReload, k.SecretExclude}
	case refs.SecretProviderClass:
		return typed{k.ClassAuto, k.ClassReload, k.ClassExclude}
	}

	return typed{}
}
