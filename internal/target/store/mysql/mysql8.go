package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// mysqlCut is how many characters of a value MySQL's performance_schema tells.
const mysqlCut = 1024

// mysqlVariables asks MySQL, which tells the range of a number and no more of the form of a variable: the rest is seen from
// its value.
func (s *session) mysqlVariables(ctx context.Context, names []string) (map[string]variable, error) {
	query := `SELECT LOWER(i.VARIABLE_NAME), g.VARIABLE_VALUE, i.MIN_VALUE, i.MAX_VALUE, p.VARIABLE_VALUE
		FROM performance_schema.variables_info i
		LEFT JOIN performance_schema.global_variables g ON g.VARIABLE_NAME = i.VARIABLE_NAME
		LEFT JOIN performance_schema.persisted_variables p ON p.VARIABLE_NAME = i.VARIABLE_NAME
		WHERE i.VARIABLE_NAME IN (` + list(names) + ")"
	variables := make(map[string]variable, len(names))
	err := s.rows(ctx, query, func(scan func(...any) error) error {
		var v variable
		var value, low, high, kept sql.NullString
		if err := scan(&v.name, &value, &low, &high, &kept); err != nil {
			return err
		}
		v.value, v.sessions = value.String, !value.Valid
		v.kept = live.Value{Set: kept.Valid, Text: kept.String}
		v.kind, v.min, v.max = mysqlKind(v.value, low.String, high.String), low.String, high.String
		variables[v.name] = v

		return nil
	})
	if err != nil {
		return nil, err
	}

	return variables, s.mysqlFixed(ctx, variables)
}

var mysqlNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// mysqlKind guesses of which kind a variable is. One that has no range has the same for both its ends.
func mysqlKind(value, low, high string) string {
	switch {
	case low == high || !mysqlNumber.MatchString(value):
		return "MYSQL"
	case strings.Contains(value, "."):
		return "DOUBLE"
	default:
		return "BIGINT"
	}
}

// loose is a variable of MySQL that is no number: a switch, a word, words in any order, or any text.
type loose struct {
	free

	// now is its value.
	now string
}

func (r loose) literal(text string) (string, error) {
	if _, ok := (boolean{}).parse(r.now); ok {
		if on, err := (boolean{}).literal(text); err == nil {
			return on, nil
		}
	}

	return r.free.literal(text)
}

func (r loose) Same(have, want string) bool {
	if have == want || (boolean{}).Same(have, want) {
		return true
	}
	a, b := r.items(strings.ToUpper(have)), r.items(strings.ToUpper(want))
	noWord := func(item string) bool { return !looseWord.MatchString(item) }

	return !slices.ContainsFunc(a, noWord) && slices.Equal(a, b)
}

var looseWord = regexp.MustCompile(`^[A-Z][A-Z0-9_-]*(=[A-Z]+)?$`)

// mysqlFixed finds which variables are only read at the start. MySQL tells by refusing to look at an assignment of them.
func (s *session) mysqlFixed(ctx context.Context, variables map[string]variable) error {
	conn, err := s.own(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for name, v := range variables {
		if v.sessions {
			continue
		}
		err := s.look(ctx, conn, []assignment{{text: "GLOBAL " + name + " = DEFAULT"}})
		answer, answered := answerOf(err)
		if err != nil && !answered {
			return err
		}
		v.fixed = answered && answer.number == numberReadOnly
		variables[name] = v
	}

	return nil
}

// persistScope is how MySQL is told to keep what it is set to.
func persistScope(v variable) string {
	if v.fixed {
		return "PERSIST_ONLY"
	}

	return "PERSIST"
}

// resetSteps make MySQL forget what it has kept.
func resetSteps(setting live.Setting, v variable) []step {
	steps := []step{{statement: "RESET PERSIST IF EXISTS " + v.name, about: setting}}
	if !v.fixed {
		steps = append(steps, step{assigned: []assignment{{setting, "GLOBAL " + v.name + " = DEFAULT"}}})
	}

	return steps
}

// mysqlPassword is how MySQL changes a password. It makes verifiers only itself, with a salt, so it has to be sent the
// password.
func (s *session) mysqlPassword(a account, c live.Change) (string, error) {
	if s.target.TLS == nil {
		return "", &store.RefusedError{Setting: c.Setting, Reason: "is not sent to MySQL, which takes it in clear text only, without TLS"}
	}
	keep := ""
	if c.Keep {
		keep = " RETAIN CURRENT PASSWORD"
	}

	return fmt.Sprintf("ALTER USER %s IDENTIFIED BY %s%s", a, escaped(c.To.Text), keep), nil
}

// mysqlRetire leaves only the password that was set last.
func mysqlRetire(a account) string { return fmt.Sprintf("ALTER USER %s DISCARD OLD PASSWORD", a) }
