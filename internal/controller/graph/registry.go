package graph

import (
	"context"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/source"
)

// Key names an instance.
type Key struct {
	types.NamespacedName

	Resource schema.GroupVersionResource
}

// served is a definition whose instances are looked after. It is replaced, never changed.
type served struct {
	// definition and uid are those of the ResourceGraphDefinition.
	definition string
	uid        types.UID
	// graph has no nodes when there is a failure.
	graph *graph.Graph
	// failure says why there is no graph; empty when there is one.
	failure string
	// orphaned instances have lost their definition: all that is left to do is to let them go.
	orphaned bool
	parents  *parents
}

// parents are the instances of one definition.
type parents struct {
	*source.Latest[unstructured.Unstructured, *unstructured.Unstructured]

	stop context.CancelFunc
	// synced is closed once all that there were at the start are known.
	synced <-chan struct{}

	mu sync.Mutex
	// writing are the instances that we are writing at this moment, with the versions that the watch showed meanwhile.
	writing map[types.NamespacedName][]string
}

func newParents() *parents {
	return &parents{Latest: source.NewLatest[unstructured.Unstructured](), writing: map[types.NamespacedName][]string{}}
}

// write sends a write of an instance. The watch may show the write before the server has answered: that is no news.
// Overtaken says that it showed something else as well.
func (p *parents) write(
	name types.NamespacedName, send func() (*unstructured.Unstructured, error),
) (written *unstructured.Unstructured, overtaken bool, err error) {
	p.mu.Lock()
	p.writing[name] = nil
	p.mu.Unlock()

	written, err = send()
	if err == nil {
		p.Put(written)
	}

	p.mu.Lock()
	shown := p.writing[name]
	delete(p.writing, name)
	p.mu.Unlock()

	overtaken = slices.ContainsFunc(shown, func(version string) bool {
		return err != nil || version != written.GetResourceVersion()
	})

	return written, overtaken, err
}

// expected says whether an instance is being written, so that its writer asks what became of it.
func (p *parents) expected(shown *unstructured.Unstructured) bool {
	name := client.ObjectKeyFromObject(shown)

	p.mu.Lock()
	defer p.mu.Unlock()

	versions, writing := p.writing[name]
	if writing {
		p.writing[name] = append(versions, shown.GetResourceVersion())
	}

	return writing
}

// registry is what is served, by the resource of the instances. It is safe for concurrent use.
type registry struct {
	mu     sync.RWMutex
	served map[schema.GroupVersionResource]*served
}

func (r *registry) get(resource schema.GroupVersionResource) *served {
	r.mu.RLock()
	defer r.mu.RUnlock()

	return r.served[resource]
}

func (r *registry) all() []*served {
	r.mu.RLock()
	defer r.mu.RUnlock()

	return slices.Collect(maps.Values(r.served))
}

// put replaces what is served; nil ends it.
func (r *registry) put(resource schema.GroupVersionResource, s *served) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if s == nil {
		delete(r.served, resource)
	} else {
		r.served[resource] = s
	}
}
