package reload

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/lockstep-dev/lockstep/internal/refs"
)

// filter reads which keys of which sources count. Entries for one source add up. An entry that is not
// understood leaves its source unfiltered, even against other entries: a change too many is better than one missed.
func (p *parser) filter(value string) map[string][]string {
	var (
		keys       map[string][]string
		unfiltered []string
	)

	for text := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ';' || r == '\n' }) {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}

		source, selected, ok := parseEntry(text)
		if !ok {
			p.report(newProblem(FilterKey, text, acceptedFilter))

			unfiltered = append(unfiltered, source)

			continue
		}

		if keys == nil {
			keys = map[string][]string{}
		}

		keys[source] = slices.Compact(slices.Sorted(slices.Values(append(keys[source], selected...))))
	}

	for _, source := range unfiltered {
		delete(keys, source)
	}

	return keys
}

// parseEntry reads one entry, KIND/NAME=KEY,KEY. The source, as refs.Key.Local writes it, is given as far as
// it is understood, even if the rest is not.
func parseEntry(text string) (source string, keys []string, ok bool) {
	left, right, hasKeys := strings.Cut(text, "=")

	source, ok = parseSource(left)
	if !ok || !hasKeys {
		return source, nil, false
	}

	keys = items(right)
	invalid := func(key string) bool { return len(validation.IsConfigMapKey(key)) > 0 }

	return source, keys, len(keys) > 0 && !slices.ContainsFunc(keys, invalid)
}

func parseSource(text string) (string, bool) {
	kindName, name, _ := strings.Cut(text, "/")
	name = strings.TrimSpace(name)

	var kind refs.Kind

	switch strings.TrimSpace(kindName) {
	case "cm", "configmap", "configmaps":
		kind = refs.ConfigMap
	case "secret", "secrets":
		kind = refs.Secret
	default:
		return "", false
	}

	return refs.Key{Kind: kind, Name: name}.Local(), len(validation.IsDNS1123Subdomain(name)) == 0
}
