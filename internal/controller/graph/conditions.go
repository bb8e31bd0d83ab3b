package graph

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditionSet is the conditions of an object while they are made anew: those that did not change keep their time.
type conditionSet struct {
	before     []metav1.Condition
	now        []metav1.Condition
	generation int64
	clock      func() time.Time
}

const ready = "Ready"

// maxMessage is what the server takes, with room to spare.
const maxMessage = 16 << 10

func (s *conditionSet) set(kind string, status metav1.ConditionStatus, reason, message string) {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}

	c := metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: s.generation, LastTransitionTime: metav1.NewTime(s.clock().Truncate(time.Second)),
	}

	if old := find(s.before, kind); old != nil && old.Status == status {
		c.LastTransitionTime = old.LastTransitionTime
	}

	s.now = append(s.now, c)
}

// finish adds Ready, derived from the others: false wins over unknown, and the last one set wins among equals.
func (s *conditionSet) finish() []metav1.Condition {
	worst := metav1.Condition{Status: metav1.ConditionTrue, Reason: ready}

	for _, c := range s.now {
		if rank(c.Status) >= rank(worst.Status) && c.Status != metav1.ConditionTrue {
			worst = c
		}
	}

	s.set(ready, worst.Status, worst.Reason, worst.Message)

	return s.now
}

func rank(s metav1.ConditionStatus) int {
	return slices.Index([]metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionUnknown, metav1.ConditionFalse}, s)
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}

	return nil
}
