package live

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
)

// origin is what is kept of a ConfigMap or a Secret that somebody refers to: no value of it.
type origin struct {
	version string
	content digest.Content
	// owner is the LiveConfig whose record it is, of which nothing else is kept; empty for everything else.
	owner types.UID
}

// origins are the sources as last seen, by a watch or by a read of our own. It is safe for concurrent use.
type origins struct {
	mu  sync.RWMutex
	all map[refs.Key]origin
}

func newOrigins() *origins { return &origins{all: map[refs.Key]origin{}} }

func (o *origins) get(k refs.Key) (origin, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()

	found, ok := o.all[k]

	return found, ok
}

// put takes a source as it was seen, unless what is known is newer. It says whether its content is another one.
func (o *origins) put(k refs.Key, seen origin) (changed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()

	former, known := o.all[k]
	if known {
		order, err := resourceversion.CompareResourceVersion(former.version, seen.version)
		if err == nil && order > 0 {
			return false
		}
	}

	o.all[k] = seen

	return !known || former.content.Whole != seen.content.Whole
}

// drop forgets a source that is gone, or that nobody refers to any more.
func (o *origins) drop(k refs.Key) (known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()

	_, known = o.all[k]
	delete(o.all, k)

	return known
}
