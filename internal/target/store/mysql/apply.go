package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// assignment sets one variable.
type assignment struct {
	setting live.Setting
	// text is "GLOBAL max_connections = 500".
	text string
}

// step is one statement of a change.
type step struct {
	statement string
	// assigned are the variables that it sets, if any.
	assigned []assignment
	// about is the setting that it is about; the zero Setting when it is about several.
	about live.Setting
}

// Apply is that of [store.Session]. Variables that follow one another are set by one statement. The server looks at all its
// assignments before it makes the first, so nothing has changed when it does not know a variable, or does not take a value, or this
// user may not set it. What only shows when an assignment is made, such as memory that is not there, leaves those
// before it in force.
func (s *session) Apply(ctx context.Context, changes []live.Change) error {
	k, err := s.learn(ctx, changes)
	if err != nil {
		return err
	}
	steps, err := s.steps(changes, k)
	if err != nil {
		return err
	}
	conn, err := s.own(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for _, step := range steps {
		if err := s.take(ctx, conn, step); err != nil {
			return err
		}
	}

	return nil
}

// Check is that of [store.Checker]. It has the server look at all the assignments and then at one more which it cannot make.
func (s *session) Check(ctx context.Context, changes []live.Change) error {
	k, err := s.learn(ctx, changes)
	if err != nil {
		return err
	}
	if err := wantedOf(changes).alone(k.variables); err != nil {
		return err
	}
	steps, err := s.steps(changes, k)
	if err != nil {
		return err
	}
	conn, err := s.own(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for _, step := range steps {
		if err := s.try(ctx, conn, step.assigned); err != nil {
			return err
		}
	}

	return nil
}

// own returns a connection of one's own: a statement that changes something is never sent again on another.
func (s *session) own(ctx context.Context) (*sql.Conn, error) {
	ctx, cancel := s.command(ctx)
	defer cancel()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, s.broken(ctx, "connect", err)
	}

	return conn, nil
}

// knowledge is what a change needs to know of the server.
type knowledge struct {
	variables map[string]variable
	accounts  accounts
}

func (s *session) learn(ctx context.Context, changes []live.Change) (knowledge, error) {
	settings := make([]live.Setting, len(changes))
	for i, c := range changes {
		settings[i] = c.Setting
	}
	variables, err := s.variables(ctx, partners(settings))
	if err != nil {
		return knowledge{}, err
	}
	accounts, err := s.accounts(ctx, settings)

	return knowledge{variables, accounts}, err
}

// steps are the statements of a change.
func (s *session) steps(changes []live.Change, k knowledge) ([]step, error) {
	var steps []step
	for _, c := range changes {
		if c.Setting.Password {
			statement, err := s.passwordStatement(c, k.accounts)
			if err != nil {
				return nil, err
			}
			steps = append(steps, step{statement: statement, about: c.Setting})

			continue
		}
		var err error
		if steps, err = s.assign(steps, c, k.variables); err != nil {
			return nil, err
		}
	}
	for _, step := range steps {
		wantedOf(changes).sort(step.assigned, k.variables)
	}

	return steps, nil
}

// assign adds the change of a variable to the last step, or as a step of its own after a password.
func (s *session) assign(steps []step, c live.Change, variables map[string]variable) ([]step, error) {
	state := s.variableState(c.Setting, variables)
	if p := state.Problem; p != nil && p.Cause != live.CauseDangerous {
		return nil, &store.RefusedError{Setting: c.Setting, Reason: p.Message}
	}
	v := variables[Normalise(c.Setting).Name]
	scope, value := "GLOBAL", "DEFAULT"
	if c.To.Set {
		literal, err := v.rule().literal(c.To.Text)
		if err != nil {
			return nil, &store.RefusedError{Setting: c.Setting, Reason: err.Error()}
		}
		value = literal
	}
	if s.target.Persist {
		scope = persistScope(v)
		if !c.To.Set {
			return append(steps, resetSteps(c.Setting, v)...), nil
		}
	}
	a := assignment{c.Setting, fmt.Sprintf("%s %s = %s", scope, v.name, value)}
	if n := len(steps); n > 0 && len(steps[n-1].assigned) > 0 {
		steps[n-1].assigned = append(steps[n-1].assigned, a)

		return steps, nil
	}

	return append(steps, step{assigned: []assignment{a}}), nil
}

// impossible is an assignment that no server can make, and that needs no privilege. It is the last that the server looks
// at, and its error is one that no other gives.
const impossible = "SESSION rand_seed1 = 18446744073709551615 + 1"

func set(assigned []assignment, more ...string) string {
	texts := make([]string, 0, len(assigned)+len(more))
	for _, a := range assigned {
		texts = append(texts, a.text)
	}

	return "SET " + strings.Join(append(texts, more...), ", ")
}

// take makes a step.
func (s *session) take(ctx context.Context, conn *sql.Conn, st step) error {
	about, doing, statement := st.about, "set the password", st.statement
	if len(st.assigned) > 0 {
		doing, statement = "set the variables", set(st.assigned)
	}
	if len(st.assigned) == 1 {
		about = st.assigned[0].setting
	}
	command, cancel := s.command(ctx)
	defer cancel()
	_, err := conn.ExecContext(command, statement)
	answer, answered := answerOf(err)
	switch {
	case answered && answer.number == numberAccountError:
		return s.accountError(ctx, conn, about)
	case answered && len(st.assigned) > 1 && !answer.passing():
		return s.culprit(ctx, conn, st.assigned, err)
	default:
		return s.failure(command, doing, about, err)
	}
}

// try has the server look at assignments that it then does not make.
func (s *session) try(ctx context.Context, conn *sql.Conn, assigned []assignment) error {
	err := s.look(ctx, conn, assigned)
	if _, answered := answerOf(err); err == nil || !answered {
		return err
	}

	return s.culprit(ctx, conn, assigned, err)
}

// look returns the server's answer, if it is not the one to what is impossible.
func (s *session) look(ctx context.Context, conn *sql.Conn, assigned []assignment) error {
	if len(assigned) == 0 {
		return nil
	}
	ctx, cancel := s.command(ctx)
	defer cancel()
	_, err := conn.ExecContext(ctx, set(assigned, impossible))
	answer, answered := answerOf(err)
	switch {
	case answered && answer.number == numberOutOfRange:
		return nil
	case answered && !answer.passing():
		return err //nolint:wrapcheck // the caller says which setting it is about
	case err == nil:
		return s.broken(ctx, "check the variables", errors.New("the server made what it was not to make"))
	default:
		return s.failure(ctx, "check the variables", live.Setting{}, err)
	}
}

// culprit finds which of several assignments the server does not take, by having it look at each alone. When it takes
// each, the answer to all of them stands.
func (s *session) culprit(ctx context.Context, conn *sql.Conn, assigned []assignment, err error) error {
	for _, a := range assigned {
		alone := s.look(ctx, conn, []assignment{a})
		if _, answered := answerOf(alone); answered {
			return s.failure(ctx, "set the variable", a.setting, alone)
		}
		if alone != nil {
			return alone
		}
	}

	return s.failure(ctx, "set the variables", live.Setting{}, err)
}

// accountError says why the server has not changed an account: the error itself never says, the warnings beside it do.
func (s *session) accountError(ctx context.Context, conn *sql.Conn, about live.Setting) error {
	ctx, cancel := s.command(ctx)
	defer cancel()
	rows, err := conn.QueryContext(ctx, "SHOW WARNINGS")
	if err != nil {
		return s.failure(ctx, "ask why the password was refused", about, err)
	}
	defer func() { _ = rows.Close() }()
	reason := "has no account on this server"
	for rows.Next() {
		var level, message string
		var number uint16
		if err := rows.Scan(&level, &number, &message); err != nil {
			return s.broken(ctx, "ask why the password was refused", err)
		}
		switch number {
		case 1290, 1819:
			reason = "is not taken as a verifier: the server checks passwords itself; set strict_password_validation to OFF"
		case 1372:
			reason = "is not taken: the verifier has not the server's form"
		case 1524:
			reason = "logs in by a plugin that the server has not loaded"
		}
	}
	if err := rows.Err(); err != nil {
		return s.broken(ctx, "ask why the password was refused", err)
	}

	return &store.RefusedError{Setting: about, Reason: reason}
}
