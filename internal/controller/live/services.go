package live

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/source"
)

// services follow the endpoints of the Services that LiveStores name. A Service that nobody names is not watched.
type services struct {
	c *Controller

	mu       sync.Mutex
	followed map[types.NamespacedName]*followed
}

// followed is one Service: who names it, and its slices.
type followed struct {
	users  map[types.NamespacedName]bool
	cancel context.CancelFunc
	slices map[types.NamespacedName]*slice
	synced <-chan struct{}
}

// slice is what is kept of an EndpointSlice.
type slice struct {
	ports     []port
	addresses []string
}

type port struct {
	name   string
	number int32
}

// follow has a LiveStore follow a Service, and no other; none when name is empty.
func (s *services) follow(user types.NamespacedName, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	service := types.NamespacedName{Namespace: user.Namespace, Name: name}

	for key, f := range s.followed {
		if key != service && f.users[user] {
			delete(f.users, user)

			if len(f.users) == 0 {
				f.cancel()
				delete(s.followed, key)
			}
		}
	}

	if name == "" {
		return
	}

	f := s.followed[service]
	if f == nil {
		f = s.start(service)
		s.followed[service] = f
	}

	f.users[user] = true
}

func (s *services) start(service types.NamespacedName) *followed {
	ctx, cancel := context.WithCancel(s.c.running)
	f := &followed{users: map[types.NamespacedName]bool{}, cancel: cancel, slices: map[types.NamespacedName]*slice{}}

	informer := source.NewInformer(source.Options[slice]{
		Client: s.c.Client, Object: &discoveryv1.EndpointSlice{}, List: &discoveryv1.EndpointSliceList{},
		Namespace: service.Namespace, LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name,
		Strip:   stripSlice,
		Changed: func(ch source.Change[slice]) { s.changed(f, ch) },
		Log:     s.c.Log.WithValues("watch", "endpointslices"),
	})
	f.synced = informer.Synced()

	s.c.goroutines.Go(func() { informer.Start(ctx) })

	return f
}

func (s *services) changed(f *followed, ch source.Change[slice]) {
	s.mu.Lock()
	if ch.New == nil {
		delete(f.slices, ch.Key)
	} else {
		f.slices[ch.Key] = ch.New
	}

	users := make([]types.NamespacedName, 0, len(f.users))
	for user := range f.users {
		users = append(users, user)
	}
	s.mu.Unlock()

	for _, user := range users {
		s.c.storeQueue.Add(user)
	}
}

// endpoints are the ready endpoints of a port, by its number or its name, sorted.
func (s *services) endpoints(service types.NamespacedName, wanted string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()

	f := s.followed[service]
	if f == nil {
		return nil
	}

	var found []string

	for _, sl := range f.slices {
		for _, p := range sl.ports {
			number := strconv.Itoa(int(p.number))
			if wanted != p.name && wanted != number {
				continue
			}

			for _, a := range sl.addresses {
				found = append(found, net.JoinHostPort(a, number))
			}
		}
	}

	slices.Sort(found)

	return slices.Compact(found)
}

func stripSlice(obj client.Object) *slice {
	es, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil
	}

	kept := &slice{}

	for _, p := range es.Ports {
		if p.Port == nil {
			continue
		}

		named := port{number: *p.Port}
		if p.Name != nil {
			named.name = strings.Clone(*p.Name)
		}

		kept.ports = append(kept.ports, named)
	}

	for _, e := range es.Endpoints {
		// Not told is the same as ready.
		if e.Conditions.Ready == nil || *e.Conditions.Ready {
			kept.addresses = append(kept.addresses, e.Addresses...)
		}
	}

	return kept
}
