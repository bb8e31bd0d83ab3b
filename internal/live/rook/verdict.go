package rook

import (
	"fmt"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// Verdict is how far a LiveConfig is, as it is told on an object of Rook. The zero Verdict is that nothing is known yet.
type Verdict struct {
	Status          metav1.ConditionStatus
	Reason, Message string
	// Revision counts the changes, and Changed names what the last one changed.
	Revision int64
	Changed  string
}

// VerdictOf reads the status of a LiveConfig.
func VerdictOf(c *lockstepv1alpha1.LiveConfig) Verdict {
	ready := apimeta.FindStatusCondition(c.Status.Conditions, lockstepv1alpha1.ConditionReady)
	if ready == nil {
		return Verdict{}
	}

	v := Verdict{Status: ready.Status, Reason: ready.Reason, Message: ready.Message, Revision: c.Status.Revision}
	if v.Status == metav1.ConditionTrue {
		v.Reason = string(lockstepv1alpha1.SettingApplied)
	}

	if history := c.Status.History; len(history) > 0 && history[0].Revision == v.Revision {
		v.Changed = strings.Join(history[0].Changed, ", ")
	}

	return v
}

// News says whether it is worth an event after another verdict. When all is well another text of it is none, but a change
// that was made is; when it is not, why is.
func (v Verdict) News(former Verdict) bool {
	switch {
	case v.Status == "":
		return false
	case v.Status != former.Status || v.Reason != former.Reason:
		return true
	case v.Status == metav1.ConditionTrue:
		return v.Revision != former.Revision
	default:
		return v.Message != former.Message
	}
}

// Text is the message of the event. Config is the name of the LiveConfig.
func (v Verdict) Text(config string) string {
	if v.Status != metav1.ConditionTrue {
		return fmt.Sprintf("LiveConfig %s: %s", config, v.Message)
	}

	text := fmt.Sprintf("LiveConfig %s: revision %d is in force", config, v.Revision)
	if v.Changed != "" {
		text += ", which changed " + v.Changed
	}

	return text
}
