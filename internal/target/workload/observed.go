package workload

import (
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/refs"
)

// Kind is a kind of workload, named as in its manifests.
type Kind string

// The kinds that a change can be carried to.
const (
	Deployment       Kind = "Deployment"
	StatefulSet      Kind = "StatefulSet"
	DaemonSet        Kind = "DaemonSet"
	CronJob          Kind = "CronJob"
	Job              Kind = "Job"
	Rollout          Kind = "Rollout"
	DeploymentConfig Kind = "DeploymentConfig"
)

// Ref names a workload.
type Ref struct {
	Kind      Kind
	Namespace string
	Name      string
}

// String is the reference as people type it: Deployment payments/api.
func (r Ref) String() string { return string(r.Kind) + " " + r.Namespace + "/" + r.Name }

// VariablePrefix begins the name of every marker variable.
const VariablePrefix = "STAKATER_"

// Variable is a marker variable that a regular container of the pod template carries.
type Variable struct {
	Container string
	Name      string
	Value     string
}

// Observed is what is kept of a workload: enough to decide, a hundredth of its size.
type Observed struct {
	Ref

	UID             types.UID
	ResourceVersion string
	Created         time.Time

	// Annotations of the workload and of its pod template, only those that somebody here reads.
	Annotations         map[string]string
	TemplateAnnotations map[string]string

	Uses           []refs.Use
	FirstContainer string
	Variables      []Variable

	// Paused is spec.paused of the kinds that have it.
	Paused bool
	// Suspended and Busy are only of CronJobs: it is suspended, or it forbids concurrency and has a Job running.
	Suspended bool
	Busy      bool
	// TemplateOf is only of Rollouts: the Deployment in the same namespace that lends its pod template.
	TemplateOf string
	// Replaces is only of Jobs: this one stands in for the Job of that name.
	Replaces string
}

// Use finds how the workload reads the source, if it does.
func (o *Observed) Use(k refs.Key) (refs.Use, bool) {
	for _, u := range o.Uses {
		if u.Kind == k.Kind && u.Name == k.Name {
			return u, true
		}
	}

	return refs.Use{}, false
}

// Variable is the value of the named marker variable in the container.
func (o *Observed) Variable(container, name string) (string, bool) {
	for _, v := range o.Variables {
		if v.Container == container && v.Name == name {
			return v.Value, true
		}
	}

	return "", false
}

// SameAnnotations tells whether both carry the same annotations, so that what was parsed from them still holds.
func (o *Observed) SameAnnotations(other *Observed) bool {
	return maps.Equal(o.Annotations, other.Annotations) && maps.Equal(o.TemplateAnnotations, other.TemplateAnnotations)
}

// Observe strips an object to what is kept of it. The wanted function tells which annotations to keep.
func Observe(a Adapter, obj client.Object, wanted func(key string) bool) (*Observed, error) {
	template, err := a.Template(obj)
	if err != nil {
		return nil, err
	}

	o := &Observed{
		Ref:                 Ref{Kind: a.Kind(), Namespace: obj.GetNamespace(), Name: obj.GetName()},
		UID:                 obj.GetUID(),
		ResourceVersion:     obj.GetResourceVersion(),
		Created:             obj.GetCreationTimestamp().Time,
		Annotations:         keep(obj.GetAnnotations(), wanted),
		TemplateAnnotations: keep(template.Annotations, wanted),
		Uses:                refs.Of(&template.Spec),
		FirstContainer:      refs.FirstContainer(&template.Spec),
		Variables:           variables(template.Spec.Containers),
	}
	if d, ok := a.(detailer); ok {
		d.detail(obj, o)
	}

	return o, nil
}

func keep(annotations map[string]string, wanted func(string) bool) map[string]string {
	var kept map[string]string

	for k, v := range annotations {
		if !wanted(k) {
			continue
		}

		if kept == nil {
			kept = make(map[string]string, 1)
		}
		kept[k] = v
	}

	return kept
}

func variables(containers []corev1.Container) []Variable {
	var found []Variable

	for i := range containers {
		for _, e := range containers[i].Env {
			if isMarker(e) {
				found = append(found, Variable{Container: containers[i].Name, Name: e.Name, Value: e.Value})
			}
		}
	}

	return found
}

// isMarker tells a marker variable from one of the user's that only begins alike: it is named after a kind.
func isMarker(e corev1.EnvVar) bool {
	return strings.HasPrefix(e.Name, VariablePrefix) && e.ValueFrom == nil &&
		(strings.HasSuffix(e.Name, "_CONFIGMAP") || strings.HasSuffix(e.Name, "_SECRET") ||
			strings.HasSuffix(e.Name, "_SECRETPROVIDERCLASS"))
}
