package reload

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
)

// TypeName is a kind of source as markers, events and alerts write it: CONFIGMAP, SECRET, SECRETPROVIDERCLASS.
func TypeName(k refs.Kind) string { return strings.ToUpper(string(k)) }

// EnvName is the variable that [EnvVars] sets for a source: STAKATER_MY_CONFIG_CONFIGMAP. Names that differ
// in punctuation alone share a variable.
func EnvName(k refs.Key) string {
	var b strings.Builder

	b.WriteString("STAKATER_")

	start := b.Len()
	gap := false

	for _, c := range []byte(strings.ToUpper(k.Name)) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			gap = true

			continue
		}

		if gap && b.Len() > start {
			b.WriteByte('_')
		}

		gap = false

		b.WriteByte(c)
	}

	// Punctuation at the end stays, as one more underscore; at the beginning it is gone.
	if gap && b.Len() > start {
		b.WriteByte('_')
	}

	b.WriteByte('_')
	b.WriteString(TypeName(k.Kind))

	return b.String()
}

// LastReload is what [Annotations] writes: the last source for which the workload was reloaded.
type LastReload struct {
	// Type is the kind of the source by [TypeName].
	Type      string `json:"type"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Hash is the compatible hash of the source, or digest.DeletedMarker.
	Hash string `json:"hash"`
	// ContainerRefs holds the one container that reads the source, or stands for it.
	ContainerRefs []string `json:"containerRefs"`
	// ObservedAt is in seconds since 1970.
	ObservedAt int64 `json:"observedAt"`
}

// String is the value to write.
func (l LastReload) String() string {
	if l.ContainerRefs == nil {
		l.ContainerRefs = []string{} // a reader expects a list
	}

	return encode(l)
}

// ParseLastReload reads what [LastReload.String] wrote.
func ParseLastReload(value string) (LastReload, error) {
	var l LastReload
	if err := json.Unmarshal([]byte(value), &l); err != nil {
		return LastReload{}, fmt.Errorf("parse last reload: %w", err)
	}

	if l.Type == "" || l.Name == "" {
		return LastReload{}, errors.New("parse last reload: no type or no name")
	}

	return l, nil
}

// Carried is what a workload last carried into its pods. The zero Carried is that of a workload that never did.
type Carried struct {
	// At is when its last rollout was started, to the millisecond.
	At time.Time
	// Streak is how many rollouts followed each other quickly: see plan.Pace.
	Streak int
	// Sources are the fingerprints that its pods have seen, by refs.Key.Local.
	Sources map[string]digest.Sum
}

// carriedTime is the one form in which the time is written: UTC, to the millisecond.
const carriedTime = "2006-01-02T15:04:05.999Z"

// carried is how a Carried is written.
type carried struct {
	At      string                `json:"at,omitempty"`
	Streak  int                   `json:"streak,omitempty"`
	Sources map[string]digest.Sum `json:"sources,omitempty"`
}

// String is the value to write: the same for the same Carried.
func (c Carried) String() string {
	w := carried{Streak: c.Streak, Sources: c.Sources}
	if !c.At.IsZero() {
		w.At = c.At.UTC().Format(carriedTime)
	}

	return encode(w)
}

// ParseCarried reads what [Carried.String] wrote. It ignores what a newer release may have added.
func ParseCarried(value string) (Carried, error) {
	var w carried
	if err := json.Unmarshal([]byte(value), &w); err != nil {
		return Carried{}, fmt.Errorf("parse %s: %w", CarriedKey, err)
	}

	// JSON's null would pass for an object.
	if !strings.HasPrefix(strings.TrimSpace(value), "{") {
		return Carried{}, fmt.Errorf("parse %s: not an object", CarriedKey)
	}

	if w.Streak < 0 {
		return Carried{}, fmt.Errorf("parse %s: streak %d is negative", CarriedKey, w.Streak)
	}

	c := Carried{Streak: w.Streak, Sources: w.Sources}

	if w.At != "" {
		at, err := time.Parse(carriedTime, w.At)
		if err != nil {
			return Carried{}, fmt.Errorf("parse %s: %w", CarriedKey, err)
		}

		c.At = at.Truncate(time.Millisecond)
	}

	return c, nil
}

// encode writes a struct of strings, numbers and digests, which cannot fail.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}

	return string(text)
}
