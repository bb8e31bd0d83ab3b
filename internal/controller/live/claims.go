package live

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// claims say who asks for which setting, so that of two the older has it. It is safe for concurrent use.
type claims struct {
	mu sync.Mutex
	// byPlace are the claimants, the one who has it first.
	byPlace map[claimed][]claimant
	by      map[types.NamespacedName][]claimed
}

// claimed is a setting of a store. Settings are told apart by their ids, which the status has too.
type claimed struct {
	store types.NamespacedName
	id    string
}

type claimant struct {
	key     types.NamespacedName
	created time.Time
}

func newClaims() *claims {
	return &claims{byPlace: map[claimed][]claimant{}, by: map[types.NamespacedName][]claimed{}}
}

func claimOf(namespace string, p live.Place) claimed {
	return claimed{types.NamespacedName{Namespace: namespace, Name: p.Store}, p.Setting.ID()}
}

// set says what a LiveConfig asks for now, and returns everybody else who asks for something of what it has let go of or
// has newly taken.
func (c *claims) set(key types.NamespacedName, created time.Time, now []claimed) (concerned []types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()

	before := c.by[key]

	for _, place := range before {
		if !slices.Contains(now, place) {
			concerned = append(concerned, c.others(place, key)...)
			c.byPlace[place] = slices.DeleteFunc(c.byPlace[place], func(o claimant) bool { return o.key == key })

			if len(c.byPlace[place]) == 0 {
				delete(c.byPlace, place)
			}
		}
	}

	for _, place := range now {
		if slices.ContainsFunc(c.byPlace[place], func(o claimant) bool { return o.key == key }) {
			continue
		}

		concerned = append(concerned, c.others(place, key)...)
		c.byPlace[place] = append(c.byPlace[place], claimant{key, created})
		slices.SortFunc(c.byPlace[place], older)
	}

	if len(now) == 0 {
		delete(c.by, key)
	} else {
		c.by[key] = slices.Clone(now)
	}

	slices.SortFunc(concerned, func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) })

	return slices.Compact(concerned)
}

func (c *claims) others(place claimed, key types.NamespacedName) []types.NamespacedName {
	var keys []types.NamespacedName

	for _, o := range c.byPlace[place] {
		if o.key != key {
			keys = append(keys, o.key)
		}
	}

	return keys
}

// besides are the others who ask for a setting.
func (c *claims) besides(place claimed, key types.NamespacedName) []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.others(place, key)
}

// older orders claimants by their age, and those of one second by their name.
func older(a, b claimant) int {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.key.String(), b.key.String()))
}

// holder returns who has a setting.
func (c *claims) holder(place claimed) types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()

	if all := c.byPlace[place]; len(all) > 0 {
		return all[0].key
	}

	return types.NamespacedName{}
}
