package graph

import (
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lockstep-dev/lockstep/internal/graph/expr"
)

// InstanceState is the one word about an instance.
type InstanceState string

// The states of an instance.
const (
	InstanceActive     InstanceState = "ACTIVE"
	InstanceInProgress InstanceState = "IN_PROGRESS"
	InstanceDeleting   InstanceState = "DELETING"
	InstanceError      InstanceState = "ERROR"
)

// The reasons of the condition ResourcesReady.
const (
	ReasonAllReady         = "AllResourcesReady"
	ReasonNotReady         = "NotReady"
	ReasonResourceDeleting = "ResourceDeleting"
	ReasonSuspended        = "ReconciliationSuspended"
	ReasonUnderDeletion    = "UnderDeletion"
	// ReasonWaitingForFields and ReasonWaitTimedOut are for waitFor.
	ReasonWaitingForFields = "WaitingForFields"
	ReasonWaitTimedOut     = "WaitTimedOut"
)

// Verdict is what a pass says of its instance: the state, and the condition ResourcesReady.
type Verdict struct {
	State   InstanceState
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

// Judge sums the reports of a pass up. Failures are those that concern no node. A node for which late is true has
// waited for fields longer than it was told to.
func Judge(reports []NodeReport, late func(id string) bool, failures ...error) Verdict {
	v := Verdict{State: InstanceActive, Status: metav1.ConditionTrue, Reason: ReasonAllReady, Message: "all resources are created and ready"}

	var messages []string

	rank := 0

	raise := func(to int, reason string) {
		if to > rank {
			rank, v.Reason = to, reason
		}
	}

	for i := range reports {
		r := &reports[i]
		if to, reason := r.severity(late); to > 0 {
			raise(to, reason)
		}

		if r.Message != "" && r.State != NodeSynced && r.State != NodeSkipped {
			messages = append(messages, r.Message)
		}
	}

	for _, err := range failures {
		raise(rankError, ReasonNotReady)

		messages = append(messages, err.Error())
	}

	if rank == 0 {
		return v
	}

	v.State, v.Status = InstanceInProgress, metav1.ConditionFalse
	if rank == rankError {
		v.State = InstanceError
	}

	v.Message = "resource reconciliation failed: " + strings.Join(messages, "; ")

	return v
}

// What wins when several nodes are not ready.
const (
	rankWaiting = iota + 1
	rankFields
	rankTimedOut
	rankDeleting
	rankError
)

// severity says how bad the node's state is, 0 for not at all, and what to call it.
func (r *NodeReport) severity(late func(id string) bool) (int, string) {
	switch r.State {
	case NodeSynced, NodeSkipped:
		return 0, ""
	case NodeError:
		return rankError, ReasonNotReady
	case NodeDeleting:
		return rankDeleting, ReasonResourceDeleting
	case NodeInProgress, NodeWaiting:
	}

	switch {
	case len(r.Waits) == 0:
		return rankWaiting, ReasonNotReady
	case late(r.Node.ID):
		return rankTimedOut, ReasonWaitTimedOut
	}

	return rankFields, ReasonWaitingForFields
}

// waitMessage lists exactly what a node waits for.
func waitMessage(id string, missing []Missing) string {
	parts := make([]string, len(missing))
	for i, m := range missing {
		parts[i] = m.String()
	}

	return fmt.Sprintf("waiting for fields before %q: %s", id, strings.Join(parts, ", "))
}

// asPending returns the error that says that data is not there yet, nil if it is another one.
func asPending(err error) *expr.PendingError {
	pending, _ := errors.AsType[*expr.PendingError](err)

	return pending
}

// HasConditions says that the definition's author wrote conditions, which stand in for the built-in ones.
func (g *Graph) HasConditions() bool { return g.withConditions }
