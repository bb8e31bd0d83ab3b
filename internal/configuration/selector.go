package configuration

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Selector joins requirements on labels: all must hold. Next to the forms of a label selector it takes "key:value" for
// key=value, and "key:*" and "key=*" for a key that exists. No requirement selects everything.
func Selector(requirements []string) (labels.Selector, error) {
	rewritten := make([]string, len(requirements))
	for i, r := range requirements {
		rewritten[i] = modern(r)
	}

	text := strings.Join(rewritten, ",")

	s, err := labels.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("label selector %q: %w", text, err)
	}

	return s, nil
}

// modern rewrites a requirement of the old form. A colon has no other use in a selector.
func modern(requirement string) string {
	requirement = strings.Replace(strings.TrimSpace(requirement), ":", "=", 1)

	if key, exists := strings.CutSuffix(requirement, "=*"); exists {
		return key
	}

	return requirement
}
