package live

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// wake is why a LiveConfig is looked at. Several reasons can come together.
type wake uint

const (
	// wakeSpec: it is new, or its spec has changed.
	wakeSpec wake = 1 << iota
	// wakeSource: a ConfigMap or a Secret that it reads has changed.
	wakeSource
	// wakeStore: a store was connected, cannot be reached any more, or is described in another way.
	wakeStore
	// wakeDrift: a setting in a store may have changed.
	wakeDrift
	// wakeClaim: somebody else has let a setting go, or has taken one.
	wakeClaim
)

// memory is what is known of a LiveConfig between passes, and may be lost with the process.
type memory struct {
	woken wake
	// since is when the first event came that was not answered yet, noticed when the last source changed.
	since, noticed time.Time
	// made is when the changes of the last hour began.
	made []time.Time
	// corrected is when drift was corrected lately.
	corrected []time.Time
	// prints are what the stores said of each place after the last pass, digested.
	prints map[live.Place]string
	// bequeathed is what younger ones knew of settings that were taken from them, until they are ours.
	bequeathed map[live.Place]live.Entry
	// back is what a change that failed has to come back to.
	back []live.Target
	// change is what is being taken back, and failure why.
	change  *lockstepv1alpha1.LiveChange
	failure failure
	// sureAt is when a store that has not answered is known not to come up with a late write any more.
	sureAt time.Time
	// retryAt is when a change that failed is tried again, and pause how long the next one waits.
	retryAt time.Time
	pause   time.Duration
	// ended is since when processes are gone that a setting waits for.
	ended map[string]time.Time
	// full says that a pass has looked at everything since the start.
	full bool
}

// memories is safe for concurrent use. A memory itself belongs to the pass that took it.
type memories struct {
	mu  sync.Mutex
	all map[types.NamespacedName]*memory
}

func newMemories() *memories { return &memories{all: map[types.NamespacedName]*memory{}} }

func (m *memories) of(key types.NamespacedName) *memory {
	found := m.all[key]
	if found == nil {
		found = &memory{}
		m.all[key] = found
	}

	return found
}

func (m *memories) wake(key types.NamespacedName, why wake, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()

	found := m.of(key)
	found.woken |= why

	if found.since.IsZero() {
		found.since = now
	}

	if why&wakeSource != 0 {
		found.noticed = now
	}
}

// take returns the memory for a pass, and what woke it since the last one.
func (m *memories) take(key types.NamespacedName) (found *memory, woken wake, since, noticed time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()

	found = m.of(key)
	woken, since, noticed = found.woken, found.since, found.noticed
	found.woken, found.since = 0, time.Time{}

	return found, woken, since, noticed
}

// again gives a pass that has not done what it was woken for its reasons back.
func (m *memories) again(key types.NamespacedName, woken wake, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()

	found := m.of(key)
	found.woken |= woken

	if found.since.IsZero() || !since.IsZero() && since.Before(found.since) {
		found.since = since
	}
}

func (m *memories) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()

	delete(m.all, key)
}

// setPrints remembers what the stores said after a pass.
func (m *memories) setPrints(key types.NamespacedName, prints map[live.Place]string) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if found := m.all[key]; found != nil {
		found.prints, found.full = prints, true
	}
}

// printsOf returns what the stores said after the last pass. It is shared and never changed.
func (m *memories) printsOf(key types.NamespacedName) map[live.Place]string {
	m.mu.Lock()
	defer m.mu.Unlock()

	if found := m.all[key]; found != nil {
		return found.prints
	}

	return nil
}
