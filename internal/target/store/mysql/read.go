package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// cut is how many characters of a value MariaDB's information_schema tells; what is longer it cuts off.
const cut = 2048

// Read is that of [store.Session]. A global value is what every new session gets.
func (s *session) Read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	variables, err := s.variables(ctx, settings)
	if err != nil {
		return nil, err
	}
	accounts, err := s.accounts(ctx, settings)
	if err != nil {
		return nil, err
	}
	states := make([]live.State, len(settings))
	for i, setting := range settings {
		if setting.Password {
			states[i] = accounts.state(setting)
		} else {
			states[i] = s.variableState(setting, variables)
		}
	}

	return states, nil
}

func (s *session) variableState(setting live.Setting, variables map[string]variable) live.State {
	if setting.Who+setting.Database+setting.Role+setting.Prefix != "" {
		return live.State{Setting: setting, Problem: &live.Problem{
			Cause:   live.CauseUnknown,
			Message: fmt.Sprintf("has a scope, and %s has global variables only", s.make),
		}}
	}
	v, ok := variables[Normalise(setting).Name]
	if !ok {
		return live.State{Setting: setting, Problem: &live.Problem{
			Cause:   live.CauseUnknown,
			Message: fmt.Sprintf("is no system variable of %s", s.version),
		}}
	}

	return v.state(setting, s.target.Persist)
}

// variables asks for all variables of the settings, and returns those that there are by name.
func (s *session) variables(ctx context.Context, settings []live.Setting) (map[string]variable, error) {
	var names []string
	for _, setting := range settings {
		if name := Normalise(setting).Name; !setting.Password && nameForm.MatchString(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return map[string]variable{}, nil
	}
	ask, limit := s.mariadbVariables, cut
	if s.make == MySQL {
		ask, limit = s.mysqlVariables, mysqlCut
	}
	variables, err := ask(ctx, names)
	if err != nil {
		return nil, err
	}
	for name, v := range variables {
		if utf8.RuneCountInString(v.value) < limit {
			continue
		}
		err := s.rows(ctx, "SELECT @@GLOBAL."+name, func(scan func(...any) error) error { return scan(&v.value) })
		if err != nil {
			return nil, err
		}
		variables[name] = v
	}

	return variables, nil
}

// mariadbVariables asks MariaDB, which knows everything of its variables.
func (s *session) mariadbVariables(ctx context.Context, names []string) (map[string]variable, error) {
	query := `SELECT LOWER(VARIABLE_NAME), GLOBAL_VALUE, VARIABLE_SCOPE, VARIABLE_TYPE, NUMERIC_MIN_VALUE, NUMERIC_MAX_VALUE,
		NUMERIC_BLOCK_SIZE, ENUM_VALUE_LIST, READ_ONLY
		FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME IN (` + list(names) + ")"
	variables := make(map[string]variable, len(names))
	err := s.rows(ctx, query, func(scan func(...any) error) error {
		var v variable
		var value, low, high, block, words sql.NullString
		var scope, readOnly string
		if err := scan(&v.name, &value, &scope, &v.kind, &low, &high, &block, &words, &readOnly); err != nil {
			return err
		}
		v.value, v.min, v.max, v.block = value.String, low.String, high.String, block.String
		if words.Valid {
			v.words = strings.Split(words.String, ",")
		}
		v.sessions, v.fixed = scope == "SESSION ONLY" || sessionOnly(v.name), readOnly == "YES"
		variables[v.name] = v

		return nil
	})

	return variables, err
}
