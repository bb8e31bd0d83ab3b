package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// The codes of errors that are told apart.
const (
	codeInvalidPassword       = "28P01"
	codeInvalidAuthorization  = "28000"
	codeUnknownDatabase       = "3D000"
	codeUnknownObject         = "42704"
	codeInvalidName           = "42602"
	codeInsufficientPrivilege = "42501"
	codeCannotChange          = "55P02"
	codeNotSupported          = "0A000"
	codeReadOnly              = "25006"
	codeNotInEncoding         = "22P05"
	codeInvalidEncoding       = "22021"
)

// serverError is an error that the server reported. Its text is ours: that of the server may have values in it.
type serverError struct{ address, code string }

// Error says which server, and what the code means.
func (e *serverError) Error() string {
	return fmt.Sprintf("PostgreSQL at %s: %s", e.address, meaning(e.code))
}

// failed is the error of a command. ctx is the one of the call, not of the command.
func (s *session) failed(ctx context.Context, err error) error {
	if reported, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &serverError{address: s.address, code: reported.Code}
	}

	_, refusal := errors.AsType[*store.RefusedError](err)

	switch {
	case refusal || codeOf(err) != "":
		return err // it is ours already
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return fmt.Errorf("PostgreSQL at %s did not answer in time: %w", s.address, context.DeadlineExceeded)
	default:
		return fmt.Errorf("PostgreSQL at %s: %w", s.address, err)
	}
}

// codeOf is the code that the server reported, or empty.
func codeOf(err error) string {
	if e, ok := errors.AsType[*serverError](err); ok {
		return e.code
	}

	return ""
}

// meaning is a code in words.
func meaning(code string) string {
	words := "it reports an error"

	switch code {
	case codeInvalidPassword:
		words = "the password is wrong, or there is no such user"
	case codeInvalidAuthorization:
		words = "the user may not log in from here, or not at all"
	case codeUnknownDatabase:
		words = "there is no such database"
	case codeInsufficientPrivilege:
		words = "the user lacks a right"
	default:
		switch code[:min(len(code), 2)] {
		case "53":
			words = "it is out of disk space, memory or connections"
		case "57":
			words = "it starts, stops, or was told to end the statement"
		case "58", "XX", "F0":
			words = "it has trouble with its files or itself"
		}
	}

	return fmt.Sprintf("%s (SQLSTATE %s)", words, code)
}

// refusal turns the answer to a statement into a [store.RefusedError] if it is a no; what else it may be, it leaves.
func (s *session) refusal(err error, setting live.Setting) error {
	code := codeOf(err)
	if code == "" {
		return err
	}

	reason := s.reason(code, setting)
	if reason == "" {
		return err
	}

	return &store.RefusedError{Setting: setting, Reason: fmt.Sprintf("%s (SQLSTATE %s)", reason, code)}
}

// reason is why the server refuses a setting; empty if it does not say no to the setting.
func (s *session) reason(code string, setting live.Setting) string {
	switch code {
	case codeInsufficientPrivilege:
		return s.rights(setting)
	case codeUnknownObject, codeUnknownDatabase, codeInvalidName:
		return "is not known to the server, or its role or its database is not"
	case codeCannotChange:
		return "cannot be changed while the server runs, or not at this place"
	case codeNotSupported, codeReadOnly:
		if systemWide(setting) {
			return "cannot be changed: the server does not allow ALTER SYSTEM; change it where its operator takes its settings from"
		}

		return "cannot be changed here: the server is a standby and takes it from its primary"
	case codeNotInEncoding, codeInvalidEncoding:
		return "has characters that the encoding of the server does not have"
	}

	switch code[:min(len(code), 2)] {
	case "22":
		return "has a value that the server does not accept"
	case "42":
		return "has a value that the server does not understand"
	case "2B", "2F", "0L", "0P":
		return "is refused by the server"
	default:
		return ""
	}
}

// rights are what a user lacks who was denied a setting.
func (s *session) rights(setting live.Setting) string {
	user := s.config.User

	switch {
	case setting == (live.Setting{}):
		return fmt.Sprintf("%s lacks rights: %s", user, granted(user, grantReload, grantFiles, grantShowFiles))
	case setting.Password:
		return fmt.Sprintf("needs rights that %s does not have: CREATEROLE, and from PostgreSQL 16 on the role WITH ADMIN OPTION; "+
			"only a superuser changes the password of a superuser", user)
	case setting.Role != "":
		return fmt.Sprintf("needs rights that %s does not have: CREATEROLE, and from PostgreSQL 16 on the role WITH ADMIN OPTION, and GRANT SET "+
			"ON PARAMETER %s if it is one that only superusers set; only a superuser changes a superuser", user, parameterName(setting.Name))
	case setting.Database != "":
		return fmt.Sprintf("needs rights that %s does not have: to own the database, and GRANT SET ON PARAMETER %s if it is one that "+
			"only superusers set", user, parameterName(setting.Name))
	default:
		return fmt.Sprintf("needs a right that %s does not have: %s; or the server may not write its own %s",
			user, granted(user, grantAlter(setting.Name)), autoFile)
	}
}

// The server's words for what is wrong with a line; it does not translate them.
const (
	mistakeNotApplied = "setting could not be applied"
	mistakeUnknown    = "unrecognized configuration parameter"
	mistakeSyntax     = "syntax error"
	mistakeNoFile     = "could not open"
)

// mistakes are the lines that make a reload do nothing at all. A line whose value cannot be used is not among them, nor one
// that waits for a restart: the server passes over these.
func mistakes(lines []line) []string {
	var found []string

	for _, l := range lines {
		if l.mistake != "" && l.mistake != mistakeNotApplied {
			found = append(found, l.wrong())
		}
	}

	return found
}

// unreadable are the lines because of which the server does not read its files to the end; empty when it does.
func unreadable(lines []line) string {
	return strings.Join(mistakes(slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return l.mistake == mistakeUnknown })), "; ")
}

// wrong says what is wrong with a line.
func (l line) wrong() string {
	what := "cannot be read"

	switch {
	case l.mistake == mistakeUnknown:
		what = fmt.Sprintf("has the unknown parameter %q", l.name)
	case strings.HasPrefix(l.mistake, mistakeSyntax):
		what = "has a syntax error"
	case strings.HasPrefix(l.mistake, mistakeNoFile):
		what = "names a file that cannot be opened"
	}

	return fmt.Sprintf("line %d of %s %s", l.number, l.file, what)
}

// blocked is the refusal of a reload that would do nothing; nil if there is nothing in its way.
func blocked(lines []line) error {
	found := mistakes(lines)
	if found == nil {
		return nil
	}

	return &store.RefusedError{
		Reason: "its configuration files have mistakes, for which it ignores every change in them until they are mended: " + strings.Join(found, "; "),
	}
}
