package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	mysql "github.com/go-sql-driver/mysql"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// answerError is what is passed on of an error that the server has answered. The server's own text may have the value in
// it.
type answerError struct {
	number uint16
	state  string
}

func answerOf(err error) (answerError, bool) {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return answerError{}, false
	}

	return answerError{e.Number, string(e.SQLState[:])}, true
}

// Error names the number, by which the server's manual says more.
func (e answerError) Error() string {
	return fmt.Sprintf("the server answers with error %d (SQLSTATE %s)", e.number, e.state)
}

// The numbers of errors that more than one place asks for.
const (
	numberReadOnly     = 1238
	numberOutOfRange   = 1690
	numberTableDenied  = 1142
	numberDeniedColumn = 1143
	numberAccountError = 1396
	numberMustChange   = 1820
	numberExpired      = 1862
)

// login says why the server does not let us in; empty when the answer is about something else.
func (e answerError) login() string {
	switch e.number {
	case 1045, 1698:
		return "it does not know the user from here with this password"
	case 1044, 1049:
		return "there is no such database for this user"
	case 1129:
		return "it has blocked our host after many errors; FLUSH HOSTS lets us in again"
	case 1130:
		return "it lets nobody in from our host"
	case 1159, 1251, 1275, 1524:
		return "the user logs in by a plugin that is not supported here"
	case numberMustChange, numberExpired:
		return "the password has expired"
	case 3118, 4151:
		return "the account is locked"
	default:
		return ""
	}
}

// passing says whether the answer could be another one at another time, or tells nothing of the change.
func (e answerError) passing() bool {
	return slices.Contains([]uint16{
		1040,                   // too many connections
		1053,                   // shutdown in progress
		1158, 1159, 1160, 1161, // packets
		1203, 1226, // too many of this user's
		1205, 1213, // locks
		1317, 1927, 1969, // interrupted, killed, max_statement_time
		3024, // max_execution_time
	}, e.number)
}

// denied says whether the user lacks a privilege.
func (e answerError) denied() bool {
	return slices.Contains([]uint16{1044, 1045, numberTableDenied, numberDeniedColumn, 1227, 1370}, e.number)
}

// reason says in words that complete a sentence beginning with the setting's name, or "the store", why the server will
// not do it.
func (e answerError) reason() string {
	switch e.number {
	case 5, 1037, 1038, 1041:
		return "asks for more memory than the server gets"
	case 1064, 1149:
		return "is written in SQL that this server does not understand"
	case 1115:
		return "names no character set of this server"
	case 1193:
		return "is no system variable of this server"
	case 1198:
		return "cannot be changed while the replication runs"
	case 1210:
		return "has a form that the server does not take for it"
	case 1228:
		return "is of each session alone: it has no global value"
	case 1229, 1231:
		return "has a value that the server does not take for it"
	case 1232:
		return "has a value of a type that the server does not take for it"
	case numberReadOnly:
		return "can only be set at the start of the server, in an option file"
	case 1253, 1273:
		return "names no collation of this server"
	case 1286, 1507:
		return "names no storage engine of this server"
	case 1290:
		return "is barred by an option that the server was started with"
	case 1438:
		return "would drop a cache that has to be there"
	case 1298:
		return "names no time zone of this server; are its time zone tables filled?"
	case 1649:
		return "names no locale of this server"
	}

	return "is not taken: " + e.Error()
}

// lacks says which privilege is missing for a setting.
func lacks(m Make, persist bool, s live.Setting) string {
	if s == (live.Setting{}) {
		return "does not let this user do it"
	}

	return "may not be changed by this user; it needs " + strings.Join(Grants(m, "USER", persist, s), "; ")
}

// failure is the error of a command about one setting, or about several when it is the zero Setting. What was being done
// completes "cannot …".
func (s *session) failure(ctx context.Context, doing string, about live.Setting, err error) error {
	if err == nil {
		return nil
	}
	answer, answered := answerOf(err)
	switch {
	case !answered:
		return s.broken(ctx, doing, err)
	case answer.passing():
		return s.broken(ctx, doing, answer)
	case answer.denied():
		return &store.RefusedError{Setting: about, Reason: lacks(s.make, s.target.Persist, about)}
	default:
		return &store.RefusedError{Setting: about, Reason: answer.reason()}
	}
}

// errDenied is matched by errors of what this user may not read.
var errDenied = errors.New("this user may not")

// failed is the error of a command that reads.
func (s *session) failed(ctx context.Context, doing string, err error) error {
	answer, answered := answerOf(err)
	switch {
	case err == nil:
		return nil
	case answered && answer.denied():
		return s.broken(ctx, doing, fmt.Errorf("%w (%w)", errDenied, answer))
	case answered:
		return s.broken(ctx, doing, answer)
	default:
		return s.broken(ctx, doing, err)
	}
}

// broken is an error that tells nothing of the settings.
func (s *session) broken(ctx context.Context, doing string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}

	return fmt.Errorf("cannot %s at %s: %w", doing, s.endpoint(), err)
}
