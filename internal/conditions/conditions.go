package conditions

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Ready is the type of the condition that [Set.Finish] derives from the others.
const Ready = "Ready"

// maxMessage is what the server takes, with room to spare.
const maxMessage = 16 << 10

// Set is the conditions of an object while they are made anew. It is for one goroutine.
type Set struct {
	before      []metav1.Condition
	now         []metav1.Condition
	generation  int64
	clock       func() time.Time
	badWhenTrue []string
}

// New begins a set: before are the conditions that the object has, generation is what the new ones are told of, now tells
// the time. Conditions of the types in badWhenTrue keep an object from being ready while they are true; all others do while
// they are false.
func New(before []metav1.Condition, generation int64, now func() time.Time, badWhenTrue ...string) *Set {
	return &Set{before: before, generation: generation, clock: now, badWhenTrue: badWhenTrue}
}

// Fresh begins another set of the same object. What was set in this one is not in it.
func (s *Set) Fresh() *Set { return New(s.before, s.generation, s.clock, s.badWhenTrue...) }

// Set says what a condition is now, in place of what was said of it before in this set.
func (s *Set) Set(kind string, status metav1.ConditionStatus, reason, message string) {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}

	c := metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: s.generation, LastTransitionTime: metav1.NewTime(s.clock().Truncate(time.Second)),
	}

	if old := Find(s.before, kind); old != nil && old.Status == status {
		c.LastTransitionTime = old.LastTransitionTime
	}

	s.put(c)
}

// Keep leaves a condition as it was before, its generation too. A condition that was not there stays away.
func (s *Set) Keep(kind string) {
	if old := Find(s.before, kind); old != nil {
		s.put(*old)
	}
}

func (s *Set) put(c metav1.Condition) {
	if said := Find(s.now, c.Type); said != nil {
		*said = c
	} else {
		s.now = append(s.now, c)
	}
}

// Find returns what was set of a condition in this set; nil when nothing was. It is not to be changed.
func (s *Set) Find(kind string) *metav1.Condition { return Find(s.now, kind) }

// Before returns a condition as the object had it; nil when it had none. It is not to be changed.
func (s *Set) Before(kind string) *metav1.Condition { return Find(s.before, kind) }

// Former returns the conditions that the object had. The caller may change the result.
func (s *Set) Former() []metav1.Condition { return slices.Clone(s.before) }

// All returns what was set so far, in that order. The caller may change it.
func (s *Set) All() []metav1.Condition { return slices.Clone(s.now) }

// Finish adds Ready, derived from the others, and returns them all. What is bad wins over what is unknown, and the last one
// set wins among equals: Ready has its reason and message. The caller may change the result.
func (s *Set) Finish() []metav1.Condition {
	status, reason, message := metav1.ConditionTrue, Ready, ""

	for _, c := range s.now {
		means := s.readiness(c)
		if c.Type != Ready && means != metav1.ConditionTrue && rank(means) >= rank(status) {
			status, reason, message = means, c.Reason, c.Message
		}
	}

	s.Set(Ready, status, reason, message)

	return s.All()
}

// readiness is what Ready would be if there were no other condition.
func (s *Set) readiness(c metav1.Condition) metav1.ConditionStatus {
	if !slices.Contains(s.badWhenTrue, c.Type) {
		return c.Status
	}

	switch c.Status {
	case metav1.ConditionTrue:
		return metav1.ConditionFalse
	case metav1.ConditionFalse:
		return metav1.ConditionTrue
	case metav1.ConditionUnknown:
	}

	return c.Status
}

func rank(s metav1.ConditionStatus) int {
	return slices.Index([]metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionUnknown, metav1.ConditionFalse}, s)
}

// Find returns the condition of a type within a list; nil when there is none.
func Find(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}

	return nil
}
