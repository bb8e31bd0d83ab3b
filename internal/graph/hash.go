package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
)

// Hash returns the hash of a definition's content: FNV-64a, 16 hexadecimal digits. What makes no difference makes none:
// the order of resources, of readyWhen and includeWhen and of the keys of objects, and whether a list is empty or
// missing. The error says that a part of the content is no JSON.
func Hash(s krov1alpha1.ResourceGraphDefinitionSpec) (string, error) {
	normal := s.DeepCopy()
	normal.Resources = slices.DeleteFunc(normal.Resources, func(r *krov1alpha1.Resource) bool { return r == nil })
	slices.SortStableFunc(normal.Resources, func(a, b *krov1alpha1.Resource) int { return strings.Compare(a.ID, b.ID) })

	for _, r := range normal.Resources {
		slices.Sort(r.ReadyWhen)
		slices.Sort(r.IncludeWhen)
	}

	raw, err := json.Marshal(normal)
	if err != nil {
		return "", fmt.Errorf("write the definition as JSON: %w", err)
	}

	// Reading it into maps and writing it again sorts the keys of what the author wrote freely. Numbers stay as written:
	// big ones that differ must not become the same float.
	var content any

	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()

	if err := decoder.Decode(&content); err != nil {
		return "", fmt.Errorf("read the definition as JSON: %w", err)
	}

	if raw, err = json.Marshal(content); err != nil {
		return "", fmt.Errorf("write the definition as JSON: %w", err)
	}

	sum := fnv.New64a()
	_, _ = sum.Write(raw)

	return fmt.Sprintf("%016x", sum.Sum64()), nil
}
