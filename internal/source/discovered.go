package source

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/openapi"
)

// askAgain is how long an answer that lacks a kind is taken for true.
const askAgain = 3 * time.Second

// discovered knows the kinds that have no CustomResourceDefinition. It asks the server when somebody asks it, and keeps
// what it was told: such kinds change with the server's version, and the connection then breaks.
type discovered struct {
	server discovery.DiscoveryInterface
	clock  clock.PassiveClock

	mu       sync.RWMutex
	finished map[schema.GroupVersionKind]*graph.Kind // with the server's schema

	// asking is held while the server is asked: who asks at the same time mostly wants the same.
	asking sync.Mutex
	asked  time.Time // when served was complete
	served map[schema.GroupVersionKind]*graph.Kind
	failed map[schema.GroupVersion]error // of which the server could not tell the kinds
	// documents has the schemas of a group-version; only those that somebody asked for.
	documents map[schema.GroupVersion]document
}

type document struct {
	*openapi.Document

	asked time.Time
}

func newDiscovered(server discovery.DiscoveryInterface, c clock.PassiveClock) *discovered {
	return &discovered{
		server: server, clock: c,
		finished:  map[schema.GroupVersionKind]*graph.Kind{},
		documents: map[schema.GroupVersion]document{},
	}
}

func (d *discovered) kind(gvk schema.GroupVersionKind) (*graph.Kind, error) {
	if kind := d.done(gvk); kind != nil {
		return kind, nil
	}

	d.asking.Lock()
	defer d.asking.Unlock()

	if kind := d.done(gvk); kind != nil { // somebody else has asked meanwhile
		return kind, nil
	}

	served, err := d.find(gvk)
	if err != nil {
		return nil, err
	}

	return d.describe(served)
}

func (d *discovered) done(gvk schema.GroupVersionKind) *graph.Kind {
	d.mu.RLock()
	defer d.mu.RUnlock()

	return d.finished[gvk]
}

// find returns the kind as discovery tells it, with a schema that accepts anything.
func (d *discovered) find(gvk schema.GroupVersionKind) (*graph.Kind, error) {
	if kind := d.served[gvk]; kind != nil {
		return kind, nil
	}

	if d.asked.IsZero() || d.clock.Since(d.asked) >= askAgain {
		if err := d.ask(); err != nil {
			return nil, err
		}
	}

	if kind := d.served[gvk]; kind != nil {
		return kind, nil
	}

	if err := d.failed[gvk.GroupVersion()]; err != nil {
		return nil, fmt.Errorf("ask for the kinds of %s: %w", gvk.GroupVersion(), err)
	}

	return nil, &graph.UnknownKindError{GVK: gvk}
}

// ask asks for all kinds. A kind that was known before stays the same value.
func (d *discovered) ask() error {
	_, lists, err := d.server.ServerGroupsAndResources()

	failed, partly := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partly {
		return fmt.Errorf("ask for the kinds that are served: %w", err)
	}

	served := map[schema.GroupVersionKind]*graph.Kind{}

	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return fmt.Errorf("read the kinds that are served: %w", err)
		}

		for i := range list.APIResources {
			r := &list.APIResources[i]
			if strings.Contains(r.Name, "/") { // a subresource
				continue
			}

			gvk := gv.WithKind(r.Kind)
			served[gvk] = &graph.Kind{
				GVK: gvk, Resource: gv.WithResource(r.Name), Namespaced: r.Namespaced, Schema: openapi.Any(),
			}
			if former := d.served[gvk]; former != nil {
				served[gvk] = former
			}
		}
	}

	d.asked, d.served, d.failed = d.clock.Now(), served, failed

	return nil
}

// describe returns the kind with the schema that the server's document has of it. A document that lacks the kind may
// lag behind discovery, and is asked for again later.
func (d *discovered) describe(kind *graph.Kind) (*graph.Kind, error) {
	gv := kind.GVK.GroupVersion()
	known, ok := d.documents[gv]

	if !ok || known.Definition(kind.GVK) == "" && d.clock.Since(known.asked) >= askAgain {
		fetched, err := d.fetch(gv)
		if err != nil {
			return nil, err
		}

		known = document{Document: fetched, asked: d.clock.Now()}
		d.documents[gv] = known
	}

	if known.Definition(kind.GVK) == "" {
		return kind, nil
	}

	described := *kind

	var err error
	if described.Schema, err = known.Kind(kind.GVK); err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", kind.GVK, err)
	}

	d.mu.Lock()
	d.finished[kind.GVK] = &described
	d.mu.Unlock()

	return &described, nil
}

// fetch asks for the document of a group-version; it is empty when the server has none.
func (d *discovered) fetch(gv schema.GroupVersion) (*openapi.Document, error) {
	paths, err := d.server.OpenAPIV3().Paths()
	if err != nil {
		return nil, fmt.Errorf("ask for the list of OpenAPI documents: %w", err)
	}

	path := "apis/" + gv.String()
	if gv.Group == "" {
		path = "api/" + gv.Version
	}

	served, ok := paths[path]
	if !ok {
		return openapi.New(nil, nil), nil
	}

	raw, err := served.Schema(runtime.ContentTypeJSON)
	if err != nil {
		return nil, fmt.Errorf("ask for the OpenAPI document of %s: %w", gv, err)
	}

	parsed, err := openapi.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document of %s: %w", gv, err)
	}

	return parsed, nil
}
