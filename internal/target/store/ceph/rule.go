package ceph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// rule is what an option accepts, by the value that a text means. Where Ceph's own reading depends on its version or
// loses something silently, such as the seventh digit after the point, the rule takes less than Ceph does.
type rule[T cmp.Ordered] struct {
	// read returns what a text means. Its error completes a sentence and has nothing of the text.
	read func(text string) (T, error)
	// show writes a bound as people write it.
	show func(T) string
	// min and max are nil for none.
	min, max *T
}

var _ live.Rule = (*rule[string])(nil)

// Check says why Ceph would not take the text.
func (r *rule[T]) Check(text string) error {
	value, err := r.read(text)
	if err != nil {
		return err
	}

	low, high := r.min != nil && value < *r.min, r.max != nil && value > *r.max

	switch {
	case !low && !high:
		return nil
	case r.min != nil && r.max != nil:
		return fmt.Errorf("has to be from %s to %s", r.show(*r.min), r.show(*r.max))
	case low:
		return fmt.Errorf("has to be at least %s", r.show(*r.min))
	default:
		return fmt.Errorf("has to be at most %s", r.show(*r.max))
	}
}

// Same says whether two texts mean the same.
func (r *rule[T]) Same(have, want string) bool {
	if have == want {
		return true
	}

	h, err := r.read(have)
	if err != nil {
		return false
	}

	w, err := r.read(want)

	return err == nil && h == w
}

// forms is a rule without an order: read returns the form that Ceph stores.
func forms(read func(string) (string, error)) *rule[string] {
	return &rule[string]{read: read}
}

// ruleOf returns the rule for an option.
func ruleOf(s schema) (live.Rule, error) {
	switch s.Type {
	case "int":
		return bounded(s, readInt, show[int64])
	case "uint":
		if s.Name == "rbd_discard_granularity_bytes" {
			return bounded(s, readPowerOfTwo, show[uint64])
		}

		return bounded(s, readUint, show[uint64])
	case "size":
		return bounded(s, readSize, show[uint64])
	case "float":
		return bounded(s, readFloat, showFloat)
	case "secs":
		return bounded(s, readSeconds, show[int64])
	case "millisecs":
		return bounded(s, readMilliseconds, show[uint64])
	case "bool":
		return forms(readBool), nil
	case "uuid":
		return forms(readUUID), nil
	case "addr":
		return forms(readAddress), nil
	case "addrvec":
		return forms(readAddresses), nil
	case "str":
		return textRule(s), nil
	default:
		return nil, fmt.Errorf("has the type %q, which Lockstep does not know", s.Type)
	}
}

func show[T any](value T) string { return fmt.Sprint(value) }

// bounded is a rule with the bounds of a schema.
func bounded[T cmp.Ordered](s schema, read func(string) (T, error), show func(T) string) (live.Rule, error) {
	r := &rule[T]{read: read, show: show}

	for _, bound := range []struct {
		text bound
		into **T
	}{{s.Min, &r.min}, {s.Max, &r.max}} {
		if bound.text == "" {
			continue
		}

		value, err := boundOf[T](string(bound.text))
		if err != nil {
			return nil, fmt.Errorf("has a bound that Lockstep cannot read: %w", err)
		}

		*bound.into = &value
	}

	return r, nil
}

// boundOf reads a bound, which is a plain number in the schema.
func boundOf[T any](text string) (T, error) {
	var value T

	_, err := fmt.Sscan(text, &value)
	if err != nil {
		return value, fmt.Errorf("read %q: %w", text, err)
	}

	return value, nil
}

// textRule is the rule for a text. Ceph validates some texts in code, of which the schema says nothing; of every option of
// Ceph 16 these are the ones.
func textRule(s schema) live.Rule {
	switch {
	case len(s.Enum) > 0:
		return forms(choice(s.Enum))
	case strings.HasPrefix(s.Name, "debug_"):
		return forms(readLogLevel)
	case s.Name == "rbd_default_features":
		return forms(readFeatures)
	case s.Name == "rbd_default_pool":
		return forms(readPool)
	case s.Name == "rbd_default_data_pool":
		return forms(readNoPool)
	default:
		return forms(readText)
	}
}

// readText takes any text that JSON and C can carry.
func readText(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("has to be UTF-8")
	}

	if strings.Contains(text, "\x00") {
		return "", errors.New("cannot have a NUL character in it: a daemon would end the text there")
	}

	return text, nil
}

func choice(accepted []string) func(string) (string, error) {
	quoted := make([]string, len(accepted))
	for i, value := range accepted {
		quoted[i] = value
		if value == "" {
			quoted[i] = `"" (empty)`
		}
	}

	return func(text string) (string, error) {
		if !slices.Contains(accepted, text) {
			return "", fmt.Errorf("has to be one of %s", strings.Join(quoted, ", "))
		}

		return text, nil
	}
}

// readBool takes less than Ceph does, to which any whole number but 0 is true.
func readBool(text string) (string, error) {
	switch {
	case text == "1", strings.EqualFold(text, "true"):
		return "true", nil
	case text == "0", strings.EqualFold(text, "false"):
		return "false", nil
	default:
		return "", errors.New("has to be true or false")
	}
}
