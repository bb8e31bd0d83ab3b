package reload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// Scope is where sources and workloads are looked for.
type Scope struct {
	// Namespaces are the only ones; empty for all. The other two fields count only then.
	Namespaces []string
	Excluded   []string
	// NamespaceSelector selects namespaces by their labels; nil for all.
	NamespaceSelector labels.Selector
	// SourceSelector is a label selector on the sources; empty for all.
	SourceSelector string
	// Kinds are the kinds of source that count.
	Kinds []refs.Kind
	// Rollouts and DeploymentConfigs are looked for where the server has them.
	Rollouts, DeploymentConfigs bool
	// Optional are the kinds that are left out, with a line in the log, where the manager's role lacks a rule for
	// them. For every other kind that is an error.
	Optional []workload.Kind
	// OptionalClasses does the same for SecretProviderClasses.
	OptionalClasses bool
}

// informer is a [source.Informer] of any kind.
type informer interface {
	Start(ctx context.Context)
	Synced() <-chan struct{}
}

// watches says what is watched. Workloads that may only be listed are listed once here, and again whenever a
// source in their namespace changes.
func (c *Controller) watches(ctx context.Context) ([]informer, error) {
	var informers []informer

	scope := c.Settings.Scope

	if scope.NamespaceSelector != nil && len(scope.Namespaces) == 0 {
		if err := c.mayReadResource(ctx, corev1.SchemeGroupVersion.WithResource("namespaces"), ""); err != nil {
			return nil, err
		}

		informers = append(informers, c.watchNamespaces())
	}

	namespaces := scope.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}

	for _, namespace := range namespaces {
		kinds, err := c.mayRead(ctx, namespace)
		if err != nil {
			return nil, err
		}

		informers = append(informers, c.watchSources(kinds, namespace)...)

		if c.Settings.AnnounceOnly {
			continue
		}

		workloads, err := c.watchWorkloads(ctx, namespace)
		if err != nil {
			return nil, err
		}

		informers = append(informers, workloads...)
	}

	return informers, nil
}

// mayRead returns the kinds of source that may be watched. It makes a missing right an error that names the rule,
// rather than a wait without end.
func (c *Controller) mayRead(ctx context.Context, namespace string) ([]refs.Kind, error) {
	var (
		kinds   []refs.Kind
		missing []error
	)

	for _, kind := range c.Settings.Scope.Kinds {
		err := c.mayReadKind(ctx, kind, namespace)

		switch {
		case err == nil:
			kinds = append(kinds, kind)
		case !errors.Is(err, ErrMissingRule):
			return nil, err
		case kind == refs.SecretProviderClass && c.Settings.Scope.OptionalClasses:
			c.Log.Info("a kind of source that the server has is left out", "missing", err.Error())
		default:
			missing = append(missing, err)
		}
	}

	return kinds, errors.Join(missing...)
}

func (c *Controller) mayReadKind(ctx context.Context, kind refs.Kind, namespace string) error {
	resources := []schema.GroupVersionResource{corev1.SchemeGroupVersion.WithResource(string(resourceOf(kind)))}
	if kind == refs.SecretProviderClass {
		resources = []schema.GroupVersionResource{PodStatuses(), csi().WithResource("secretproviderclasses")}
	}

	for _, resource := range resources {
		if err := c.mayReadResource(ctx, resource, namespace); err != nil {
			return err
		}
	}

	return nil
}

func (c *Controller) mayReadResource(ctx context.Context, resource schema.GroupVersionResource, namespace string) error {
	for _, verb := range []string{"list", "watch"} {
		can, err := c.Access.Can(ctx, verb, resource, namespace)
		if err != nil {
			return err
		}

		if !can {
			return fmt.Errorf("%w: %s", ErrMissingRule, rule("list, watch", resource, namespace))
		}
	}

	return nil
}

// rule is how a missing right is named for the one who has to grant it.
func rule(verbs string, resource schema.GroupVersionResource, namespace string) string {
	where := "all namespaces"
	if namespace != "" {
		where = "namespace " + namespace
	}

	return fmt.Sprintf("apiGroups: [%q], resources: [%q], verbs: [%s], in %s", resource.Group, resource.Resource, verbs, where)
}

func (c *Controller) watchSources(kinds []refs.Kind, namespace string) []informer {
	var informers []informer

	for _, kind := range kinds {
		switch kind {
		case refs.ConfigMap:
			informers = append(informers, c.watchKind(kind, namespace, &corev1.ConfigMap{}, &corev1.ConfigMapList{}))
		case refs.Secret:
			informers = append(informers, c.watchKind(kind, namespace, &corev1.Secret{}, &corev1.SecretList{}))
		case refs.SecretProviderClass:
			informers = append(informers, c.watchClasses(namespace), c.watchPodStatuses(namespace))
		}
	}

	return informers
}

func (c *Controller) watchKind(kind refs.Kind, namespace string, obj client.Object, list client.ObjectList) informer {
	resource := resourceOf(kind)

	return source.NewInformer(source.Options[origin]{
		Client: c.Client, Object: obj, List: list, Namespace: namespace,
		LabelSelector: c.Settings.Scope.SourceSelector, FieldSelector: c.exceptExcluded(namespace),
		Strip:   func(obj client.Object) *origin { return c.strip(kind, obj) },
		Changed: func(ch source.Change[origin]) { c.sourceChanged(kind, resource, ch) },
		Log:     c.Log.WithValues("watch", string(resource)),
	})
}

// exceptExcluded leaves it to the server not to send what is in excluded namespaces.
func (c *Controller) exceptExcluded(namespace string) string {
	if namespace != "" {
		return ""
	}

	terms := make([]string, 0, len(c.Settings.Scope.Excluded))
	for _, n := range c.Settings.Scope.Excluded {
		terms = append(terms, "metadata.namespace!="+n)
	}

	return strings.Join(terms, ",")
}

func (c *Controller) strip(kind refs.Kind, obj client.Object) *origin {
	o := &origin{resourceVersion: obj.GetResourceVersion(), created: obj.GetCreationTimestamp().Time, written: written(obj)}

	switch s := obj.(type) {
	case *corev1.ConfigMap:
		o.content = digest.OfConfigMap(s)
	case *corev1.Secret:
		o.content = digest.OfSecret(s)
	}

	key := refs.Key{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
	marks := c.Settings.Reload.SourceOf(key, obj.GetAnnotations())
	o.ignored, o.matched = marks.Ignored, marks.Matched

	return o
}

// sourceChanged compares what a source held with what it holds.
func (c *Controller) sourceChanged(kind refs.Kind, resource telemetry.ResourceType, ch source.Change[origin]) {
	key := refs.Key{Kind: kind, Namespace: ch.Key.Namespace, Name: ch.Key.Name}
	c.state.put(key, ch.New, ch.Initial)

	if ch.Initial {
		return
	}

	c.Reporter.Metrics.Received(eventOf(ch.Old != nil, ch.New != nil), resource)

	if !c.state.isLive() || !c.inScope(key.Namespace) {
		c.state.release(key)

		return
	}

	switch {
	case ch.New == nil:
		c.removed(key, ch.Old)
	case ch.Old == nil:
		c.created(key)
	case ch.Old.content.Whole == ch.New.content.Whole:
		c.Reporter.Metrics.Skipped(telemetry.SkipNoDataChange)
	default:
		c.changed(key, &ch.Old.content)
	}
}

func (c *Controller) created(key refs.Key) {
	if c.Settings.OnCreate {
		c.changed(key, nil)

		return
	}

	c.state.release(key)
	c.settled(key)
}

func (c *Controller) removed(key refs.Key, old *origin) {
	if c.Settings.OnDelete {
		c.changed(key, &old.content)

		return
	}

	c.state.release(key)
	c.settled(key)
}

func eventOf(before, after bool) telemetry.EventType {
	switch {
	case !before:
		return telemetry.ObjectAdded
	case !after:
		return telemetry.ObjectDeleted
	}

	return telemetry.ObjectUpdated
}

func (c *Controller) watchNamespaces() informer {
	return source.NewInformer(source.Options[bool]{
		Client: c.Client, Object: &corev1.Namespace{}, List: &corev1.NamespaceList{},
		Strip: func(obj client.Object) *bool {
			return new(c.Settings.Scope.NamespaceSelector.Matches(labels.Set(obj.GetLabels())))
		},
		Changed: func(ch source.Change[bool]) {
			c.Reporter.Metrics.Received(eventOf(ch.Old != nil, ch.New != nil), telemetry.Namespaces)

			selected := ch.New != nil && *ch.New
			c.queueAll(c.state.selectNamespace(ch.Key.Name, selected))
			c.Log.V(1).Info("a namespace was seen", "namespace", ch.Key.Name, "selected", selected)
		},
		Log: c.Log.WithValues("watch", "namespaces"),
	})
}

// inScope tells whether the sources of a namespace count.
func (c *Controller) inScope(namespace string) bool {
	scope := c.Settings.Scope
	if len(scope.Namespaces) > 0 {
		return slices.Contains(scope.Namespaces, namespace)
	}

	if slices.Contains(scope.Excluded, namespace) {
		return false
	}

	return scope.NamespaceSelector == nil || c.state.namespaceSelected(namespace)
}

// watchWorkloads watches every kind of workload that counts and that the server has.
func (c *Controller) watchWorkloads(ctx context.Context, namespace string) ([]informer, error) {
	var informers []informer

	for _, adapter := range workload.Adapters() {
		wanted, err := c.wants(adapter)
		if err != nil {
			return nil, err
		}

		if !wanted {
			continue
		}

		c.adapters[adapter.Kind()] = adapter

		watched, err := c.mayWatch(ctx, adapter.Resource(), namespace)
		if errors.Is(err, ErrMissingRule) && slices.Contains(c.Settings.Scope.Optional, adapter.Kind()) {
			c.Log.Info("a kind of workload that the server has is left out", "missing", err.Error())

			continue
		}

		if err != nil {
			return nil, err
		}

		i := c.workloadInformer(adapter, namespace)
		if watched {
			informers = append(informers, i)

			continue
		}

		if err := c.lists.use(ctx, adapter.Kind(), namespace, i); err != nil {
			return nil, err
		}
	}

	return informers, nil
}

// wants tells whether a kind counts: kinds of somebody else's API only where the server has it.
func (c *Controller) wants(a workload.Adapter) (bool, error) {
	if slices.Contains(c.Settings.Ignored, a.Kind()) {
		return false, nil
	}

	switch a.Kind() {
	case workload.Rollout:
		if !c.Settings.Scope.Rollouts {
			return false, nil
		}
	case workload.DeploymentConfig:
		if !c.Settings.Scope.DeploymentConfigs {
			return false, nil
		}
	case workload.Deployment, workload.StatefulSet, workload.DaemonSet, workload.CronJob, workload.Job:
		return true, nil
	}

	served, err := c.Access.Serves(a.Resource())
	if err == nil && !served {
		c.Log.Info("the server does not have this kind of workload; it is looked for again at the next start",
			"kind", a.Kind())
	}

	return served, err
}

// mayWatch tells whether a kind may be watched; that it may not even be listed is an error naming the rule.
func (c *Controller) mayWatch(ctx context.Context, resource schema.GroupVersionResource, namespace string) (bool, error) {
	watch, err := c.Access.Can(ctx, "watch", resource, namespace)
	if err != nil || watch {
		return watch, err
	}

	list, err := c.Access.Can(ctx, "list", resource, namespace)
	if err != nil {
		return false, err
	}

	if !list {
		return false, fmt.Errorf("%w: %s", ErrMissingRule, rule("list, watch", resource, namespace))
	}

	c.Log.Info("workloads may be listed but not watched: they are listed at every change in their namespace, "+
		"which costs more; add the missing rule to the manager's role", "missing", rule("watch", resource, namespace))

	return false, nil
}

func (c *Controller) workloadInformer(a workload.Adapter, namespace string) *source.Informer[workload.Observed] {
	obj, list := a.New()

	return source.NewInformer(source.Options[workload.Observed]{
		Client: c.Client, Object: obj, List: list, Namespace: namespace, FieldSelector: c.exceptExcluded(namespace),
		Strip:   func(obj client.Object) *workload.Observed { return c.stripWorkload(a, obj) },
		Changed: func(ch source.Change[workload.Observed]) { c.workloadChanged(a.Kind(), ch) },
		Log:     c.Log.WithValues("watch", a.Resource().Resource),
	})
}

// stripWorkload drops a workload that nobody opted in.
func (c *Controller) stripWorkload(a workload.Adapter, obj client.Object) *workload.Observed {
	o, err := workload.Observe(a, obj, c.wanted)
	if err != nil {
		c.Log.Error(err, "a workload cannot be read and is left alone")

		return nil
	}

	if len(o.Annotations)+len(o.TemplateAnnotations) == 0 && !c.Settings.Reload.AutoReloadAll && !c.state.lends(o.Ref) {
		return nil
	}

	return o
}

// wanted tells which annotations are kept.
func (c *Controller) wanted(key string) bool {
	return key == workload.ReplacesAnnotation || c.Settings.Reload.Wanted(key)
}

func (c *Controller) workloadChanged(kind workload.Kind, ch source.Change[workload.Observed]) {
	ref := workload.Ref{Kind: kind, Namespace: ch.Key.Namespace, Name: ch.Key.Name}

	switch {
	case ch.New == nil:
		c.lost(ref)
	case ch.New.Replaces != "":
		c.state.setUnfinished(ref, true)
		c.queue.Add(ref)
	default:
		c.observed(ch.New)
	}
}
