package crd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Merge returns a live CustomResourceDefinition with all of a wanted one that differs, or the live one itself and
// false when there is nothing to write. What the server defaults is no difference, and labels and annotations that the
// wanted one does not have are kept, as is how versions are converted. So are versions in which there may be stored
// objects, which the server does not let go; they are served no more. Neither argument is changed.
func Merge(live, wanted *apiextensionsv1.CustomResourceDefinition) (*apiextensionsv1.CustomResourceDefinition, bool) {
	merged := live.DeepCopy()

	wanted.Spec.DeepCopyInto(&merged.Spec)
	merged.Spec.Versions = append(merged.Spec.Versions, stored(live, wanted)...)

	if merged.Spec.Conversion == nil {
		merged.Spec.Conversion = live.Spec.Conversion.DeepCopy()
	}

	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&merged.Spec)

	merged.Labels = over(merged.Labels, wanted.Labels)
	merged.Annotations = over(merged.Annotations, wanted.Annotations)

	if same(live, merged) {
		return live, false
	}

	return merged, true
}

// stored are the versions of a live one, besides the wanted ones, in which there may be stored objects.
func stored(live, wanted *apiextensionsv1.CustomResourceDefinition) []apiextensionsv1.CustomResourceDefinitionVersion {
	var kept []apiextensionsv1.CustomResourceDefinitionVersion

	for _, version := range live.Spec.Versions {
		named := func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == version.Name }
		if slices.ContainsFunc(wanted.Spec.Versions, named) || !slices.Contains(live.Status.StoredVersions, version.Name) {
			continue
		}

		old := version.DeepCopy()
		old.Served, old.Storage = false, false
		kept = append(kept, *old)
	}

	return kept
}

func over(have, wanted map[string]string) map[string]string {
	if have == nil && len(wanted) > 0 {
		have = make(map[string]string, len(wanted))
	}

	maps.Copy(have, wanted)

	return have
}

// same compares what [Merge] writes. The live one has been through the server, which stores empty lists as none and
// the JSON of defaults in its own spelling; so both are compared in that.
func same(live, merged *apiextensionsv1.CustomResourceDefinition) bool {
	before, err := canonical([]any{live.Labels, live.Annotations, live.Spec})
	if err != nil {
		return false
	}

	after, err := canonical([]any{merged.Labels, merged.Annotations, merged.Spec})

	return err == nil && bytes.Equal(before, after)
}

// canonical returns a value as the server spells it: keys sorted, a whole number without a fraction.
func canonical(value any) ([]byte, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("write as JSON: %w", err)
	}

	var plain any
	if err := utiljson.Unmarshal(raw, &plain); err != nil {
		return nil, fmt.Errorf("read back from JSON: %w", err)
	}

	if raw, err = json.Marshal(plain); err != nil {
		return nil, fmt.Errorf("write as JSON again: %w", err)
	}

	return raw, nil
}
