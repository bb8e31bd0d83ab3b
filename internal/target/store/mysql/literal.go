package mysql

import (
	"encoding/hex"
	"strings"
)

// quoted is a text as an SQL literal that means the same whatever the session's sql_mode says of backslashes: a text
// with one in it is written in hexadecimal digits.
func quoted(text string) string {
	if strings.Contains(text, `\`) {
		return "_utf8mb4 X'" + hex.EncodeToString([]byte(text)) + "'"
	}

	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// escaped is a text as a literal for statements that take no other form. It counts on our own sessions' sql_mode, in which
// a backslash escapes.
func escaped(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}

// identifier is a name, which may be any text, as an SQL identifier. In identifiers a backslash is always just that.
func identifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// list is texts as a list of literals.
func list(texts []string) string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = quoted(text)
	}

	return strings.Join(all, ", ")
}
