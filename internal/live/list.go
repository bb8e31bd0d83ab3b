package live

import "strings"

// Permission is what a LiveStore says of a setting.
type Permission int

// The permissions.
const (
	// Open: it may be changed unless it is dangerous.
	Open Permission = iota
	// Named: it may be changed, and it was named.
	Named
	// Denied: it is on the list of those that may not.
	Denied
	// Unlisted: there is a list of those that may, and it is not on it.
	Unlisted
)

// Permit looks a setting's name up in a LiveStore's lists. In their items * stands for any text.
func Permit(name string, allow, deny []string) Permission {
	for _, item := range deny {
		if glob(item, name) {
			return Denied
		}
	}

	permission := Open
	if len(allow) > 0 {
		permission = Unlisted
	}

	for _, item := range allow {
		if item == name {
			return Named
		}

		if glob(item, name) {
			permission = Open
		}
	}

	return permission
}

// glob matches a text with a pattern in which * stands for any text.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}

	last := len(parts) - 1

	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}

	for _, part := range parts[1:last] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}

		rest = rest[i+len(part):]
	}

	return strings.HasSuffix(rest, parts[last])
}
