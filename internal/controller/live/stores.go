package live

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// The reasons for which a store is not ready.
const (
	reasonConnected      = "Connected"
	reasonConnecting     = "Connecting"
	reasonUnreachable    = "Unreachable"
	reasonLogin          = "LoginRefused"
	reasonSecretMissing  = "SecretMissing"
	reasonSecretInvalid  = "SecretInvalid"
	reasonNoEndpoints    = "NoEndpoints"
	reasonTypeNotServed  = "TypeNotServed"
	defaultTimeout       = 5 * time.Second
	defaultProbeInterval = time.Minute
)

// stores are the LiveStores as passes use them. It is safe for concurrent use.
type stores struct {
	c *Controller

	mu      sync.Mutex
	handles map[types.NamespacedName]*handle
}

// get returns what is known of a LiveStore; nil when there is none, or it was not looked at yet.
func (s *stores) get(key types.NamespacedName) *handle {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.handles[key]
}

func (s *stores) put(key types.NamespacedName, h *handle) (former *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()

	former = s.handles[key]
	if h == nil {
		delete(s.handles, key)
	} else {
		s.handles[key] = h
	}

	return former
}

// closeAll ends all connections and waits until nothing runs for them.
func (s *stores) closeAll() {
	s.mu.Lock()
	all := s.handles
	s.handles = map[types.NamespacedName]*handle{}
	s.mu.Unlock()

	for _, h := range all {
		h.close()
	}

	for _, h := range all {
		h.running.Wait()
	}
}

// reconcile brings the connections of one LiveStore in line with its spec and its Secrets, and tells its state.
func (s *stores) reconcile(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	l := s.c.liveStores.Get(key)
	if l == nil {
		s.gone(key)

		return 0, nil
	}

	d, p, err := s.describe(ctx, l)
	if err != nil {
		return 0, err
	}

	former := s.get(key)

	// A Secret that is gone takes no connection away: in a namespace that is being deleted it may go first.
	if p != nil && p.reason == reasonSecretMissing && former != nil && len(former.nodes) > 0 && former.generation == l.Generation {
		return 0, s.tell(ctx, key, p)
	}

	next := s.handle(l, d, p)
	if former == nil || former.print != next.print || former.generation != next.generation {
		s.replace(key, next) //nolint:contextcheck // connections outlive the pass
	}

	return 0, s.tell(ctx, key, nil)
}

// gone lets the connections of a LiveStore go that was deleted, once nobody has anything to give back through them.
func (s *stores) gone(key types.NamespacedName) {
	if len(s.c.dependents(liveStoreKey(key))) > 0 {
		return
	}

	if h := s.put(key, nil); h != nil {
		h.close()
	}
}

// described is a LiveStore with what it refers to.
type described struct {
	store.Target

	endpoints []string
	// ca are the certificates that are trusted, as they are written.
	ca []byte
}

// describe reads what a LiveStore refers to. A problem is what a person has to mend; an error is the server's.
func (s *stores) describe(ctx context.Context, l *lockstepv1alpha1.LiveStore) (described, *problem, error) {
	d := described{Target: store.Target{
		Database: l.Spec.Database, Persist: l.Spec.Persist, HTTP: l.Spec.HTTP,
		Connect: duration(l.Spec.Timeouts.Connect, defaultTimeout), Command: duration(l.Spec.Timeouts.Command, defaultTimeout),
	}}

	if c := l.Spec.Credentials; c != nil {
		data, p, err := s.secret(ctx, l.Namespace, c.SecretName)
		if p != nil || err != nil {
			return d, p, err
		}

		password, ok := data[c.PasswordKey]
		if !ok {
			return d, &problem{reasonSecretMissing, fmt.Sprintf("Secret %s has no key %s, which credentials.passwordKey names",
				c.SecretName, c.PasswordKey)}, nil
		}

		d.Username, d.Password = strings.TrimSpace(string(data[c.UsernameKey])), strings.TrimRight(string(password), "\r\n")
	}

	if p, err := s.tls(ctx, l, &d); p != nil || err != nil {
		return d, p, err
	}

	var p *problem
	d.endpoints, p = s.endpoints(l)

	return d, p, nil
}

func (s *stores) secret(ctx context.Context, namespace, name string) (map[string][]byte, *problem, error) {
	var secret corev1.Secret

	err := s.c.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, &problem{reasonSecretMissing, fmt.Sprintf("Secret %s does not exist", name)}, nil
	}

	if err != nil {
		return nil, nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
	}

	return secret.Data, nil, nil
}

// tls adds what is said of TLS.
func (s *stores) tls(ctx context.Context, l *lockstepv1alpha1.LiveStore, d *described) (*problem, error) {
	spec := l.Spec.TLS
	if spec == nil {
		return nil, nil //nolint:nilnil // there is neither a problem nor an error
	}

	d.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: spec.ServerName,
		InsecureSkipVerify: spec.InsecureSkipVerify, //nolint:gosec // asked for in so many words
	}

	if spec.CASecretName != "" {
		data, p, err := s.secret(ctx, l.Namespace, spec.CASecretName)
		if p != nil || err != nil {
			return p, err
		}

		d.TLS.RootCAs, d.ca = x509.NewCertPool(), data["ca.crt"]
		if !d.TLS.RootCAs.AppendCertsFromPEM(d.ca) {
			return &problem{reasonSecretInvalid, fmt.Sprintf("Secret %s has no certificates in PEM in its key ca.crt", spec.CASecretName)}, nil
		}
	}

	if spec.CertificateSecretName == "" {
		return nil, nil //nolint:nilnil // there is neither a problem nor an error
	}

	data, p, err := s.secret(ctx, l.Namespace, spec.CertificateSecretName)
	if p != nil || err != nil {
		return p, err
	}

	pair, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	if err != nil {
		//nolint:nilerr // what the library says of a key may quote it
		return &problem{reasonSecretInvalid, fmt.Sprintf("Secret %s has no certificate in tls.crt with its key in tls.key",
			spec.CertificateSecretName)}, nil
	}

	d.TLS.Certificates = []tls.Certificate{pair}

	return nil, nil //nolint:nilnil // there is neither a problem nor an error
}

// endpoints are where the store listens.
func (s *stores) endpoints(l *lockstepv1alpha1.LiveStore) ([]string, *problem) {
	service := l.Spec.Service
	if service == nil {
		return l.Spec.Endpoints, nil
	}

	scheme := ""
	if l.Spec.Type == lockstepv1alpha1.StoreHTTP {
		scheme = "http://"

		if l.Spec.TLS != nil {
			scheme = "https://"
		}
	}

	if !service.EachEndpoint {
		return []string{scheme + net.JoinHostPort(service.Name+"."+l.Namespace+".svc", service.Port)}, nil
	}

	found := s.c.services.endpoints(types.NamespacedName{Namespace: l.Namespace, Name: service.Name}, service.Port)
	if len(found) == 0 {
		return nil, &problem{reasonNoEndpoints, fmt.Sprintf("Service %s has no ready endpoint with the port %s", service.Name, service.Port)}
	}

	for i := range found {
		found[i] = scheme + found[i]
	}

	return found, nil
}

// handle makes what is to be known of a LiveStore, without connecting.
func (s *stores) handle(l *lockstepv1alpha1.LiveStore, d described, p *problem) *handle {
	t, endpoints := d.Target, d.endpoints

	h := &handle{
		spec: *l.Spec.DeepCopy(), generation: l.Generation, problem: p, metrics: s.c.Metrics,
		slots: semaphore.NewWeighted(int64(s.c.Settings.StoreConcurrency)),
	}

	i := slices.IndexFunc(s.c.Drivers, func(known store.Driver) bool { return known.Type == l.Spec.Type })
	if i < 0 {
		h.problem = &problem{reasonTypeNotServed, fmt.Sprintf("this manager has no driver for type %s", l.Spec.Type)}
		h.driver.Type = l.Spec.Type
	} else {
		h.driver = s.c.Drivers[i]
	}

	h.print = s.c.key.digest(fmt.Sprintf("%q %q %q %v %v", t.Username, t.Password, endpoints, printTLS(t.TLS, d.ca), h.problem))

	if h.problem != nil {
		return h
	}

	if h.driver.Together {
		t.Endpoints = endpoints
		h.nodes = []*node{s.node("", l, h.driver, t)}

		return h
	}

	for _, e := range endpoints {
		t.Endpoints = []string{e}

		name := e
		if len(endpoints) == 1 && l.Spec.Service == nil {
			name = ""
		}

		h.nodes = append(h.nodes, s.node(name, l, h.driver, t))
	}

	return h
}

// node makes a node that is not connected yet.
func (s *stores) node(name string, l *lockstepv1alpha1.LiveStore, driver store.Driver, target store.Target) *node {
	key := client.ObjectKeyFromObject(l)

	return &node{
		name: name, driver: driver, target: target, clock: s.c.Clock,
		changed:  func(*node) { s.nodeChanged(key) },
		opened:   func() { s.c.Metrics.Requested(driver.Type, telemetry.StoreOpen) },
		recorded: func() string { return s.recorded(key) },
		passwords: func(ctx context.Context) ([]string, bool) {
			return s.formerPasswords(ctx, key, loginOf(target, driver))
		},
		broken: make(chan struct{}, 1), news: make(chan struct{}),
	}
}

// formerPasswords are those that LiveConfigs have given the login of a LiveStore itself, the newest of each first. All says
// that every record could be read.
func (s *stores) formerPasswords(ctx context.Context, key types.NamespacedName, username string) (found []string, all bool) {
	all = true

	for config, revisions := range s.recordsOf(key) {
		for _, revision := range slices.Backward(revisions) {
			r, err := s.c.record(ctx, config, revision)
			if err != nil {
				s.c.Log.Error(err, "what may be a former password of a LiveStore's login is not read")

				all = false
			}

			for _, e := range r.Entries {
				if e.Store == key.Name && e.Setting.Password && e.Setting.Role == username && !slices.Contains(found, e.Text) {
					found = append(found, e.Text)
				}
			}
		}
	}

	return found, all
}

// recordsOf are the LiveConfigs that have passwords in a store, with the revisions of which there are records.
func (s *stores) recordsOf(key types.NamespacedName) map[*lockstepv1alpha1.LiveConfig][]int64 {
	found := map[*lockstepv1alpha1.LiveConfig][]int64{}

	for _, dependent := range s.c.dependents(liveStoreKey(key)) {
		if config := s.c.liveConfigs.Get(dependent); config != nil && setsPasswords(config, key.Name) {
			found[config] = s.c.records.of(config)
		}
	}

	return found
}

// recorded names the records of passwords in a store.
func (s *stores) recorded(key types.NamespacedName) string {
	var names []string

	for config, revisions := range s.recordsOf(key) {
		names = append(names, fmt.Sprint(config.Name, revisions))
	}

	slices.Sort(names)

	return strings.Join(names, " ")
}

// loginOf is the role by which a store is logged in to.
func loginOf(target store.Target, driver store.Driver) string {
	if target.Username == "" && driver.Type == lockstepv1alpha1.StoreRedis {
		return "default"
	}

	return target.Username
}

// setsPasswords says whether a LiveConfig has passwords in a store.
func setsPasswords(config *lockstepv1alpha1.LiveConfig, store string) bool {
	return slices.ContainsFunc(config.Status.Settings, func(s lockstepv1alpha1.SettingStatus) bool {
		return s.Store == store && strings.HasPrefix(s.ID, "password=")
	})
}

// printTLS tells two configurations apart.
func printTLS(c *tls.Config, ca []byte) string {
	if c == nil {
		return ""
	}

	parts := []any{c.ServerName, c.InsecureSkipVerify, ca}

	for _, pair := range c.Certificates {
		parts = append(parts, pair.Certificate)
	}

	return fmt.Sprint(parts...)
}

// replace puts a new handle in the place of the old one, whose sessions serve until the new ones are there.
func (s *stores) replace(key types.NamespacedName, h *handle) {
	former := s.put(key, h)

	ctx, cancel := context.WithCancel(s.c.running)
	h.cancel = cancel

	for _, n := range h.nodes {
		if former != nil {
			if old := former.node(n.name); old != nil && sameEndpoints(old, n) {
				n.inherit(old)
			}
		}

		h.running.Go(func() { n.keep(ctx) })
	}

	if len(h.nodes) > 0 {
		h.running.Go(func() { s.c.probe(ctx, key, h) })

		for _, n := range h.nodes {
			h.running.Go(func() { s.c.watchNode(ctx, key, n) })
		}
	}

	if former != nil {
		former.close()
	}

	s.c.wakeAll(liveStoreKey(key), wakeStore)
}

func sameEndpoints(a, b *node) bool { return slices.Equal(a.target.Endpoints, b.target.Endpoints) }

// nodeChanged has everybody looked at who waits for a store.
func (s *stores) nodeChanged(key types.NamespacedName) {
	s.c.storeQueue.Add(key)
	s.c.wakeAll(liveStoreKey(key), wakeStore)
}

// tell writes the state of a LiveStore, if it is another one than before.
func (s *stores) tell(ctx context.Context, key types.NamespacedName, p *problem) error {
	l, h := s.c.liveStores.Get(key), s.get(key)
	if l == nil || h == nil || l.DeletionTimestamp != nil {
		return nil
	}

	reason, message := h.health()
	if p != nil {
		reason, message = p.reason, p.message
	}

	if reason == reasonConnecting {
		// It will be one or the other in a moment: no write for that.
		return nil
	}

	after := l.DeepCopy()
	after.Status.ObservedGeneration = l.Generation
	status := metav1.ConditionTrue

	if reason == "" {
		reason, message = reasonConnected, fmt.Sprintf("%d of %d connected", len(h.nodes), len(h.nodes))
	} else {
		status = metav1.ConditionFalse
	}

	for _, n := range h.nodes {
		if v := n.version(); v != "" {
			after.Status.Version = v

			break
		}
	}

	set := s.c.conditions(l.Status.Conditions, l.Generation)
	set.Set(lockstepv1alpha1.ConditionReady, status, reason, message)
	after.Status.Conditions = set.All()

	if sameStatus(l.Status, after.Status) {
		return nil
	}

	if err := s.c.Client.Status().Patch(ctx, after, client.MergeFrom(l)); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}

		return fmt.Errorf("write the status of LiveStore %s: %w", key, err)
	}

	s.c.liveStores.Put(after)
	s.c.storeChanged(l, after) //nolint:contextcheck // watches outlive the pass
	s.c.count()

	if status == metav1.ConditionFalse {
		s.c.event(after, corev1.EventTypeWarning, telemetry.LiveEventStoreUnavailable, message)
	}

	return nil
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}

	return d.Duration
}

// unavailable says why a LiveStore cannot be used at all; nil when it can. To give something back also the connections of
// one that was deleted serve.
func (s *stores) unavailable(key types.NamespacedName, givingBack bool) (*handle, error) {
	h := s.get(key)

	switch {
	case s.c.liveStores.Get(key) == nil && (h == nil || !givingBack):
		return nil, fmt.Errorf("waits: LiveStore %s does not exist", key.Name)
	case h == nil:
		return nil, errors.New("waits: LiveStore " + key.Name + " is being connected to")
	case h.problem != nil:
		return nil, fmt.Errorf("waits: LiveStore %s cannot be used: %s", key.Name, h.problem.message)
	}

	return h, nil
}
