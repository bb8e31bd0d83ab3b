package workload

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// Change is what is to be written to a workload, in one write.
type Change struct {
	// Annotations and TemplateAnnotations are set, or removed where the value is nil.
	Annotations         map[string]*string
	TemplateAnnotations map[string]*string
	Variables           []VariableChange
	// Paused sets spec.paused where the kind has it; nil leaves it alone.
	Paused *bool
	// RestartAt asks an Argo Rollout to restart its pods; the template is then left alone.
	RestartAt *time.Time
	// Token is the same for the same change, also after a crash, and different for every other one. What is
	// created is named by it, so that nothing is created twice.
	Token string
}

// VariableChange sets or removes one marker variable of one regular container.
type VariableChange struct {
	Container string
	Name      string
	Value     string
	Remove    bool
}

// Empty tells whether there is nothing to write.
func (c *Change) Empty() bool {
	return len(c.Annotations) == 0 && len(c.TemplateAnnotations) == 0 && len(c.Variables) == 0 &&
		c.Paused == nil && c.RestartAt == nil
}

// merge is the change as a strategic merge patch, for the kinds whose list fields merge by name. The UID is a
// precondition: a workload that was deleted and made again is not patched with what was meant for the old one.
func (c *Change) merge(uid types.UID) ([]byte, error) {
	template := c.templatePatch()

	spec := map[string]any{}
	if len(template) > 0 {
		spec["template"] = template
	}

	if c.Paused != nil {
		spec["paused"] = *c.Paused
	}

	metadata := map[string]any{"uid": uid}
	if len(c.Annotations) > 0 {
		metadata["annotations"] = c.Annotations
	}

	patch := map[string]any{"metadata": metadata}
	if len(spec) > 0 {
		patch["spec"] = spec
	}

	data, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}

	return data, nil
}

func (c *Change) templatePatch() map[string]any {
	template := map[string]any{}
	if len(c.TemplateAnnotations) > 0 {
		template["metadata"] = map[string]any{"annotations": c.TemplateAnnotations}
	}

	if len(c.Variables) > 0 {
		template["spec"] = map[string]any{"containers": c.containers()}
	}

	return template
}

func (c *Change) containers() []map[string]any {
	var containers []map[string]any

	for _, v := range c.Variables {
		entry := map[string]any{"name": v.Name, "value": v.Value}
		if v.Remove {
			entry = map[string]any{"name": v.Name, "$patch": "delete"}
		}

		at := slices.IndexFunc(containers, func(known map[string]any) bool { return known["name"] == v.Container })
		if at < 0 {
			containers = append(containers, map[string]any{"name": v.Container, "env": []any{entry}})

			continue
		}

		env, _ := containers[at]["env"].([]any)
		containers[at]["env"] = append(env, entry)
	}

	return containers
}

// template makes the change to the JSON of a pod template, for the kinds that cannot be patched by name on the
// server. It works on JSON, not on a Go type, so that fields newer than our libraries survive. A container that
// is no longer there is [ErrChanged]: the caller looked at an older template and has to decide again.
func (c *Change) template(original []byte) ([]byte, error) {
	var known corev1.PodTemplateSpec
	if err := json.Unmarshal(original, &known); err != nil {
		return nil, fmt.Errorf("decode pod template: %w", err)
	}

	for _, v := range c.Variables {
		if !slices.ContainsFunc(known.Spec.Containers, func(k corev1.Container) bool { return k.Name == v.Container }) {
			return nil, fmt.Errorf("set %s in container %q: %w", v.Name, v.Container, ErrChanged)
		}
	}

	patch, err := json.Marshal(c.templatePatch())
	if err != nil {
		return nil, fmt.Errorf("encode pod template patch: %w", err)
	}

	patched, err := strategicpatch.StrategicMergePatch(original, patch, corev1.PodTemplateSpec{})
	if err != nil {
		return nil, fmt.Errorf("patch pod template: %w", err)
	}

	return patched, nil
}

func annotate(annotations map[string]string, change map[string]*string) map[string]string {
	for k, v := range change {
		if v == nil {
			delete(annotations, k)

			continue
		}

		if annotations == nil {
			annotations = map[string]string{}
		}

		annotations[k] = *v
	}

	return annotations
}
