package postgres

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// longestName is how long a name may be, in bytes. The server cuts longer ones off, and would change something else.
const longestName = 63

// validName is what the server takes as the name of a setting.
var validName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*$`)

// errList says that a text is not a list of names.
var errList = errors.New(`takes names with commas between them; a name with a blank, a comma or a capital letter goes in "quotes"`)

// errName says that the server would cut a name off, or could not take it at all.
var errName = errors.New("has a name, or one of its database or role, that the server does not take as it is")

// errScope says that a setting is for another type of store.
var errScope = errors.New("has a scope that PostgreSQL does not know: it takes a database, a role or both")

// statement is one statement that changes a setting.
type statement struct {
	setting live.Setting
	sql     string
}

// statements are what a change comes to, in the order of their making.
type statements struct {
	// system is put into force by a reload.
	system []statement
	// catalog is put into force by a commit.
	catalog []statement
}

// sendable says why a text cannot be sent to the server as it is; nil if it can.
func sendable(text string) error {
	switch {
	case !utf8.ValidString(text):
		return errors.New("takes text in UTF-8 only")
	case strings.ContainsRune(text, 0):
		return errors.New("takes no NUL character")
	default:
		return nil
	}
}

// literal quotes a text that is [sendable]. The form does not depend on standard_conforming_strings.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(quoted, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}

	return quoted
}

// identifier quotes the name of a role, a database or a part of a setting's name.
func identifier(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// nameable says whether the server takes a name as it is.
func nameable(name string) bool {
	return name != "" && len(name) <= longestName && sendable(name) == nil
}

// settable says whether a name can be one of a setting.
func settable(name string) bool {
	if !validName.MatchString(name) {
		return false
	}

	for part := range strings.SplitSeq(name, ".") {
		if !nameable(part) {
			return false
		}
	}

	return true
}

// parameterName quotes the name of a setting.
func parameterName(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = identifier(part)
	}

	return strings.Join(parts, ".")
}

// assigned is what comes after SET x TO.
func assigned(name, text string) (string, error) {
	if err := sendable(text); err != nil {
		return "", err
	}

	list, paths := nameList(name)
	if !list {
		return literal(text), nil
	}

	names, ok := splitNames(text, paths)
	if !ok {
		return "", errList
	}

	if len(names) == 0 {
		return literal(""), nil
	}

	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = literal(name)
	}

	return strings.Join(quoted, ", "), nil
}

// flat is a value as it is stored: a list of names has each in quotes.
func flat(name, text string) string {
	list, paths := nameList(name)
	if !list {
		return text
	}

	names, ok := splitNames(text, paths)
	if !ok {
		return text
	}

	for i, name := range names {
		names[i] = identifier(name)
	}

	return strings.Join(names, ", ")
}

// compose writes the statements of changes. The error is a [store.RefusedError]; random gives the salts.
func compose(changes []live.Change, random func([]byte)) (statements, error) {
	var all statements

	var passwords []statement

	for _, change := range changes {
		s := change.Setting

		sql, err := alter(change, random)
		if err != nil {
			return statements{}, &store.RefusedError{Setting: s, Reason: err.Error()}
		}

		switch made := (statement{setting: s, sql: sql}); {
		case s.Password:
			passwords = append(passwords, made)
		case systemWide(s):
			all.system = append(all.system, made)
		default:
			all.catalog = append(all.catalog, made)
		}
	}

	all.catalog = append(all.catalog, passwords...)

	return all, nil
}

// systemWide says whether a setting is one of the whole server.
func systemWide(s live.Setting) bool { return !s.Password && s.Database == "" && s.Role == "" }

func alter(change live.Change, random func([]byte)) (string, error) {
	s := change.Setting

	for _, name := range []string{s.Database, s.Role} {
		if name != "" && !nameable(name) {
			return "", errName
		}
	}

	switch {
	case s.Who != "" || s.Prefix != "":
		return "", errScope
	case s.Password:
		return alterPassword(change, random)
	case !settable(s.Name):
		return "", errName
	case !change.To.Set:
		return owner(s) + " RESET " + parameterName(s.Name), nil
	case systemWide(s) && strings.Contains(change.To.Text, "\n"):
		return "", errLine
	}

	value, err := assigned(s.Name, change.To.Text)
	if err != nil {
		return "", err
	}

	return owner(s) + " SET " + parameterName(s.Name) + " TO " + value, nil
}

// owner is what a setting belongs to.
func owner(s live.Setting) string {
	switch {
	case s.Database != "" && s.Role != "":
		return "ALTER ROLE " + identifier(s.Role) + " IN DATABASE " + identifier(s.Database)
	case s.Role != "":
		return "ALTER ROLE " + identifier(s.Role)
	case s.Database != "":
		return "ALTER DATABASE " + identifier(s.Database)
	default:
		return "ALTER SYSTEM"
	}
}

func alterPassword(change live.Change, random func([]byte)) (string, error) {
	statement := "ALTER ROLE " + identifier(change.Setting.Role) + " PASSWORD "

	switch to := change.To; {
	case change.Keep:
		return "", errors.New("cannot keep the password that is valid now: PostgreSQL has one for each role; change two roles in turn instead")
	case !to.Set:
		return statement + "NULL", nil
	case change.Raw && !isVerifier(to.Text):
		// The server would take it for the password itself.
		return "", errors.New("has a former value that is no verifier")
	case change.Raw:
		return statement + literal(to.Text), nil
	default:
		if err := (passwordRule{role: change.Setting.Role}).Check(to.Text); err != nil {
			return "", err
		}

		salt := make([]byte, saltBytes)
		random(salt)

		verifier, err := verifierOf(to.Text, salt, iterations)
		if err != nil {
			return "", err
		}

		return statement + literal(verifier), nil
	}
}
