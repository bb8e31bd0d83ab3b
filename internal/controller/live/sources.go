package live

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/refs"
)

// sourceKeys are the objects that a LiveConfig reads, and of each the keys; none for all of them.
func sourceKeys(l *lockstepv1alpha1.LiveConfig) map[refs.Key][]string {
	whole := map[refs.Key]bool{}
	keys := map[refs.Key][]string{}

	for i := range l.Spec.Settings {
		s := &l.Spec.Settings[i]

		for _, from := range valueSources(s) {
			k, key, _ := from(l.Namespace)
			if !slices.Contains(keys[k], key) {
				keys[k] = append(keys[k], key)
			}
		}
	}

	for i := range l.Spec.From {
		k, _ := wholeSource(l.Namespace, &l.Spec.From[i])
		whole[k] = true
	}

	for k := range whole {
		keys[k] = nil
	}

	return keys
}

// reader names a key of an object in a namespace, and says whether it is optional.
type reader func(namespace string) (k refs.Key, key string, optional bool)

func valueSources(s *lockstepv1alpha1.LiveSetting) []reader {
	var found []reader

	add := func(v *lockstepv1alpha1.ValueSource) {
		if v != nil && (v.SecretKeyRef != nil || v.ConfigMapKeyRef != nil) {
			found = append(found, func(namespace string) (refs.Key, string, bool) { return keyOf(namespace, v) })
		}
	}

	add(s.ValueFrom)

	if s.Password != nil {
		add(s.Password.RoleFrom)
		add(&s.Password.ValueFrom)
	}

	return found
}

func keyOf(namespace string, v *lockstepv1alpha1.ValueSource) (k refs.Key, key string, optional bool) {
	if ref := v.SecretKeyRef; ref != nil {
		return refs.Key{Kind: refs.Secret, Namespace: namespace, Name: ref.Name}, ref.Key, ref.Optional
	}

	ref := v.ConfigMapKeyRef

	return refs.Key{Kind: refs.ConfigMap, Namespace: namespace, Name: ref.Name}, ref.Key, ref.Optional
}

func wholeSource(namespace string, f *lockstepv1alpha1.LiveSource) (k refs.Key, optional bool) {
	if ref := f.SecretRef; ref != nil {
		return refs.Key{Kind: refs.Secret, Namespace: namespace, Name: ref.Name}, ref.Optional
	}

	return refs.Key{Kind: refs.ConfigMap, Namespace: namespace, Name: f.ConfigMapRef.Name}, f.ConfigMapRef.Optional
}

// configEdges are what a LiveConfig depends on: what it reads, and its stores.
func configEdges(l *lockstepv1alpha1.LiveConfig) []refs.Key {
	edges := slices.Collect(maps.Keys(sourceKeys(l)))

	for _, name := range storeNames(l) {
		edges = append(edges, liveStoreKey(types.NamespacedName{Namespace: l.Namespace, Name: name}))
	}

	return edges
}

// storeNames are the LiveStores that a LiveConfig names, and those that it has something to give back to.
func storeNames(l *lockstepv1alpha1.LiveConfig) []string {
	var names []string

	add := func(ref *lockstepv1alpha1.StoreReference) {
		if ref != nil && !slices.Contains(names, ref.Name) {
			names = append(names, ref.Name)
		}
	}

	add(l.Spec.StoreRef)

	for i := range l.Spec.Settings {
		add(l.Spec.Settings[i].StoreRef)
	}

	for i := range l.Spec.From {
		add(l.Spec.From[i].StoreRef)
	}

	for _, s := range l.Status.Settings {
		add(&lockstepv1alpha1.StoreReference{Name: s.Store})
	}

	return names
}

// unchanged says whether everything that a status tells of is as it was when it was written.
func (c *Controller) unchanged(l *lockstepv1alpha1.LiveConfig) bool {
	if l.Generation != l.Status.ObservedGeneration {
		return false
	}

	keys := sourceKeys(l)

	for _, seen := range l.Status.ObservedSources {
		if seen.Kind == string(liveStoreKind) {
			if c.storePrint(types.NamespacedName{Namespace: l.Namespace, Name: seen.Name}) != seen.Digest {
				return false
			}

			continue
		}

		k := refs.Key{Kind: refs.Kind(seen.Kind), Namespace: l.Namespace, Name: seen.Name}

		now := ""
		if o, known := c.origins.get(k); known {
			now = c.sourcePrint(o, keys[k])
		}

		if now != seen.Digest {
			return false
		}
	}

	return true
}

// sourcePrint is the keyed digest of the keys of a source.
func (c *Controller) sourcePrint(o origin, keys []string) string {
	sum := o.content.Select(keys)

	return c.key.digest(hex.EncodeToString(sum[:]))
}

// storePrint says which description of a store is in use; empty when there is none.
func (c *Controller) storePrint(key types.NamespacedName) string {
	if h := c.stores.get(key); h != nil {
		return fmt.Sprintf("generation %d", h.generation)
	}

	return ""
}

// contents are the sources of one LiveConfig as read for one pass. They hold values.
type contents struct {
	c    *Controller
	keys map[refs.Key][]string
	read map[refs.Key]map[string][]byte
	seen []lockstepv1alpha1.ObservedSource
	// secrets are the values that came out of Secrets.
	secrets []string
}

// load reads all sources of a LiveConfig. One that is not there is not an error.
func (c *Controller) load(ctx context.Context, l *lockstepv1alpha1.LiveConfig) (*contents, error) {
	s := &contents{c: c, keys: sourceKeys(l), read: map[refs.Key]map[string][]byte{}}

	inOrder := slices.SortedFunc(maps.Keys(s.keys), func(a, b refs.Key) int { return compareText(a.String(), b.String()) })
	for _, k := range inOrder {
		if err := s.load(ctx, k); err != nil {
			return nil, err
		}
	}

	for _, name := range storeNames(l) {
		s.seen = append(s.seen, lockstepv1alpha1.ObservedSource{
			Kind: string(liveStoreKind), Name: name,
			Digest: c.storePrint(types.NamespacedName{Namespace: l.Namespace, Name: name}),
		})
	}

	return s, nil
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}

	return 0
}

func (s *contents) load(ctx context.Context, k refs.Key) error {
	var object client.Object = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}
	if k.Kind == refs.Secret {
		object = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}
	}

	seen := lockstepv1alpha1.ObservedSource{Kind: string(k.Kind), Name: k.Name}

	err := s.c.Client.Get(ctx, client.ObjectKeyFromObject(object), object)

	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("read %s: %w", k, err)
	default:
		o := originOf(object)
		s.c.sources[k.Kind].Keep(client.ObjectKeyFromObject(object), &o)
		s.c.origins.put(k, o)

		seen.ResourceVersion, seen.Digest = o.version, s.c.sourcePrint(o, s.keys[k])
		s.keep(k, object)
	}

	s.seen = append(s.seen, seen)

	return nil
}

func (s *contents) keep(k refs.Key, object client.Object) {
	data := map[string][]byte{}

	switch o := object.(type) {
	case *corev1.Secret:
		maps.Copy(data, o.Data)

		for _, value := range o.Data {
			s.secrets = append(s.secrets, string(value))
		}
	case *corev1.ConfigMap:
		for key, text := range o.Data {
			data[key] = []byte(text)
		}

		maps.Copy(data, o.BinaryData)
	}

	s.read[k] = data
}

// value returns a key of a source; what is missing of it otherwise.
func (s *contents) value(k refs.Key, key string) (text string, found bool, missing string) {
	data, there := s.read[k]
	if !there {
		return "", false, fmt.Sprintf("waits: %s %s does not exist", k.Kind, k.Name)
	}

	value, there := data[key]
	if !there {
		return "", false, fmt.Sprintf("waits: %s %s has no key %s", k.Kind, k.Name, key)
	}

	return string(value), true, ""
}
