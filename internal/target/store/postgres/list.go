package postgres

import (
	"slices"
	"strings"
)

// listSpaces are what the server's own scanner calls white space.
const listSpaces = " \t\n\r\f"

// nameLists are the settings that are lists of names of which the server quotes each: written as one string they would
// be one name. No extension can have such a setting, so that the list is complete; the server's own pg_dump has it too.
func nameList(name string) (list, paths bool) {
	switch strings.ToLower(name) {
	case "search_path", "temp_tablespaces":
		return true, false
	case "local_preload_libraries", "session_preload_libraries", "shared_preload_libraries", "unix_socket_directories":
		return true, true
	default:
		return false, false
	}
}

// splitNames takes a list of names apart as the server does it when it uses the setting, and returns false when the
// server would not understand it. Paths are lists of paths, which may have blanks in them and keep their case.
func splitNames(text string, paths bool) ([]string, bool) {
	rest := strings.TrimLeft(text, listSpaces)
	if rest == "" {
		return nil, true
	}

	var names []string

	for {
		name, after, ok := firstName(rest, paths)
		if !ok {
			return nil, false
		}

		names = append(names, name)

		rest = strings.TrimLeft(after, listSpaces)
		if rest == "" {
			return names, true
		}

		if rest[0] != ',' {
			return nil, false
		}

		rest = strings.TrimLeft(rest[1:], listSpaces)
	}
}

// firstName reads one name, quoted or not.
func firstName(text string, paths bool) (name, rest string, ok bool) {
	if strings.HasPrefix(text, `"`) {
		return quotedName(text)
	}

	ends := listSpaces + ","
	if paths {
		ends = ","
	}

	end := strings.IndexAny(text, ends)
	if end < 0 {
		end = len(text)
	}

	name = strings.TrimRight(text[:end], listSpaces)
	if !paths {
		name = lower(name)
	}

	return name, text[end:], name != ""
}

// quotedName reads a name in quotes, in which two quotes are one.
func quotedName(text string) (name, rest string, ok bool) {
	var b strings.Builder

	for rest = text[1:]; ; {
		before, after, found := strings.Cut(rest, `"`)
		if !found {
			return "", "", false
		}

		b.WriteString(before)

		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, true
		}

		b.WriteByte('"')

		rest = after[1:]
	}
}

// lower folds the case of ASCII letters alone, as the server does with names.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}

		return r
	}, name)
}

// sameNames compares two lists. The server cannot be told an empty list: what it stores then is one empty name.
func sameNames(a, b []string) bool {
	empty := func(names []string) bool { return len(names) == 0 || len(names) == 1 && names[0] == "" }

	return empty(a) && empty(b) || slices.Equal(a, b)
}
