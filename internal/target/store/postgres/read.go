package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// Why a connection that lives long may be asked what a new session would see:
//
//   - reset_val of pg_settings is what the files, the command line and the defaults come to, whatever the session has set
//     for itself. A session takes up a reload with its next command, and Apply waits until this very session has.
//   - What is set for roles and databases, which only new sessions have, is in a catalog, and is read there.
//   - Two things it cannot see: parameters that a session keeps from its beginning (the contexts that end in "backend"), and
//     what lies beneath a value that was set for our own role or database when the session began, and no longer is. For
//     these alone a new connection is made. It costs some milliseconds, most of them for the login.
const (
	identityQuery = `SELECT session_user, current_database(),
	has_function_privilege('pg_catalog.pg_reload_conf()', 'EXECUTE'),
	has_table_privilege('pg_catalog.pg_file_settings', 'SELECT') AND
		has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE'),
	has_column_privilege('pg_catalog.pg_authid', 'rolname', 'SELECT') AND
		has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT')`
	// %s is whether the user may set the parameter for the whole server.
	parameterQuery = `SELECT name, vartype, context, source, coalesce(unit, ''), coalesce(min_val, ''), coalesce(max_val, ''),
	coalesce(enumvals, '{}'), coalesce(reset_val, ''), coalesce(boot_val, ''), pending_restart, %s
FROM pg_catalog.pg_settings WHERE lower(name COLLATE "C") = ANY($1)`
	permittedQuery   = `has_parameter_privilege(name, 'ALTER SYSTEM')`
	permittedQuery14 = `current_setting('is_superuser') = 'on'`
	entryQuery       = `SELECT coalesce(d.datname, ''), coalesce(r.rolname, ''), s.setconfig
FROM pg_catalog.pg_db_role_setting s
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
ORDER BY s.setdatabase, s.setrole`
	databaseQuery = `SELECT datname FROM pg_catalog.pg_database WHERE datname = ANY($1)`
	roleQuery     = `SELECT rolname, NULL::text FROM pg_catalog.pg_roles WHERE rolname = ANY($1)`
	verifierQuery = `SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = ANY($1)`
	// Values of settings that nobody asked for stay where they are.
	fileQuery = `SELECT coalesce(sourcefile, ''), coalesce(sourceline, 0), coalesce(seqno, 0), coalesce(name, ''),
	CASE WHEN lower(name COLLATE "C") = ANY($1) THEN coalesce(setting, '') ELSE '' END, applied, coalesce(error, '')
FROM pg_catalog.pg_file_settings WHERE lower(name COLLATE "C") = ANY($1) OR error IS NOT NULL`
	customQuery = `SELECT current_setting($1, true)`
	// What is set by it lasts as long as the statement.
	normalQuery = `SELECT set_config($1, $2, true)`
)

// question is what is to be found out about settings.
type question struct {
	names, databases, roles []string // names in lower case
	system, passwords       bool
}

func questionOf(settings []live.Setting) question {
	q := question{names: []string{"allow_alter_system"}, databases: []string{}, roles: []string{}}

	for _, s := range settings {
		if s.Password {
			q.passwords = true
		} else {
			q.names = append(q.names, strings.ToLower(s.Name))
		}

		if s.Database != "" {
			q.databases = append(q.databases, s.Database)
		}

		if s.Role != "" {
			q.roles = append(q.roles, s.Role)
		}

		q.system = q.system || systemWide(s)
	}

	return q
}

// Read asks the server.
func (s *session) Read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	states := make([]live.State, len(settings))

	err := s.use(ctx, func(ctx context.Context, p *place) error {
		f, err := s.ask(ctx, p.connection, settings)
		if err == nil && f.outdated(settings) {
			if err = s.renew(ctx, p); err == nil {
				f, err = s.ask(ctx, p.connection, settings)
			}
		}

		if err != nil {
			return err
		}

		for i, setting := range settings {
			states[i] = f.state(setting)
		}

		return nil
	})
	if err != nil {
		return nil, err
	}

	return states, nil
}

// outdated says whether a session that lives long cannot tell what a new one would see.
func (f *facts) outdated(settings []live.Setting) bool {
	return slices.ContainsFunc(settings, func(s live.Setting) bool {
		name := strings.ToLower(s.Name)
		p := f.parameters[name]

		switch p.source {
		case sourceGlobal, sourceDatabase, sourceUser, sourceDatabaseUser:
			return !f.ofSession(name)
		default:
			return p.onlyNew()
		}
	})
}

// ask collects the facts about settings.
func (s *session) ask(ctx context.Context, c *connection, settings []live.Setting) (*facts, error) {
	q := questionOf(settings)
	f := &facts{
		version: c.major(), parameters: map[string]parameter{}, custom: map[string]live.Value{}, denied: map[string]bool{},
		normal: map[string]string{}, roles: map[string]live.Value{}, databases: map[string]bool{},
	}

	if err := s.send(ctx, c, f.catalog(q, c)); err != nil {
		return nil, err
	}

	if err := s.send(ctx, c, f.restricted(q)); err != nil {
		return nil, err
	}

	// With such a mistake the server does not even say what it has stored itself.
	if found := unreadable(f.lines); found != "" {
		return nil, fmt.Errorf("PostgreSQL at %s cannot read its configuration files: %s", s.address, found)
	}

	for _, setting := range settings {
		if err := s.unlisted(ctx, c, f, setting); err != nil {
			return nil, err
		}

		if err := s.normal(ctx, c, f, setting); err != nil {
			return nil, err
		}
	}

	return f, nil
}

// send sends queries together, as one command.
func (s *session) send(ctx context.Context, c *connection, batch *pgx.Batch) error {
	if batch.Len() == 0 {
		return nil
	}

	return s.run(ctx, func(ctx context.Context) error { return c.SendBatch(ctx, batch).Close() })
}

// catalog asks for what everybody may know.
func (f *facts) catalog(q question, c *connection) *pgx.Batch {
	batch := &pgx.Batch{}

	batch.Queue(identityQuery).QueryRow(func(row pgx.Row) error {
		return row.Scan(&f.user, &f.database, &f.reloadable, &f.showable, &f.verifiable)
	})

	permitted := permittedQuery
	if f.version < 15 {
		permitted = permittedQuery14
	}

	var p parameter

	each(batch, fmt.Sprintf(parameterQuery, permitted), q.names, []any{
		&p.name, &p.kind, &p.context, &p.source, &p.unit, &p.least, &p.most, &p.values, &p.running, &p.boot, &p.pending, &p.permitted,
	}, func() {
		if before := c.sources[p.name]; p.source == sourceSession && before != "" {
			p.source = before
		}

		p.values = slices.Clone(p.values)
		f.parameters[strings.ToLower(p.name)] = p
	})

	var database, role string

	var config []string

	each(batch, entryQuery, nil, []any{&database, &role, &config}, func() {
		for _, pair := range config {
			name, text, _ := strings.Cut(pair, "=")
			f.entries = append(f.entries, entry{database: database, role: role, name: lower(name), text: text})
		}
	})

	each(batch, databaseQuery, q.databases, []any{&database}, func() { f.databases[database] = true })
	each(batch, roleQuery, q.roles, []any{&role, new(*string)}, func() { f.roles[role] = live.Value{} })

	return batch
}

// restricted asks for what this user may know.
func (f *facts) restricted(q question) *pgx.Batch {
	batch := &pgx.Batch{}

	if q.system && f.showable {
		f.files(batch, q.names)
	}

	if q.passwords && f.verifiable {
		var role string

		var verifier *string

		each(batch, verifierQuery, q.roles, []any{&role, &verifier}, func() {
			if verifier != nil {
				f.roles[role] = live.Text(*verifier)
			}
		})
	}

	return batch
}

// files asks for what is in the configuration files, of the names and of what is wrong.
func (f *facts) files(batch *pgx.Batch, names []string) {
	var l line

	each(batch, fileQuery, names, []any{&l.file, &l.number, &l.sequence, &l.name, &l.text, &l.applied, &l.mistake}, func() {
		f.lines = append(f.lines, l)
	})
}

// each adds a query with at most one parameter, and does something with each of its rows.
func each(batch *pgx.Batch, sql string, parameter []string, into []any, do func()) {
	var parameters []any
	if parameter != nil {
		parameters = []any{parameter}
	}

	batch.Queue(sql, parameters...).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, into, func() error {
			do()

			return nil
		})

		return err //nolint:wrapcheck // run says where it comes from
	})
}

// unlisted asks for a parameter that pg_settings does not list: there is none, it is somebody's own, or it is not for this
// user's eyes.
func (s *session) unlisted(ctx context.Context, c *connection, f *facts, setting live.Setting) error {
	name := strings.ToLower(setting.Name)
	if _, listed := f.parameters[name]; listed || setting.Password || !settable(setting.Name) {
		return nil
	}

	var value *string

	err := s.run(ctx, func(ctx context.Context) error {
		return c.QueryRow(ctx, customQuery, name).Scan(&value)
	})

	switch {
	case codeOf(err) == codeInsufficientPrivilege:
		f.denied[name] = true

		return nil
	case err == nil && value != nil:
		f.custom[name] = live.Text(*value)
	}

	return err
}

// normal asks for the form in which the server shows a stored text that it shows in another one: it has forms of its own
// for the names of time zones, the style of dates, some words and some more. Only parameters that a session may change can be asked for;
// whether the server answers matters to nobody.
func (s *session) normal(ctx context.Context, c *connection, f *facts, setting live.Setting) error {
	name := strings.ToLower(setting.Name)
	p := f.parameters[name]
	stored, found := f.last(name)

	if !systemWide(setting) || !found || p.kind != "string" && p.kind != "enum" || p.context != contextUser && p.context != contextSuperuser ||
		ruleOf(p, true).Same(p.running, stored.text) {
		return nil
	}

	var shown string

	err := s.run(ctx, func(ctx context.Context) error {
		return c.QueryRow(ctx, normalQuery, name, stored.text).Scan(&shown)
	})

	switch {
	case err == nil:
		f.normal[name] = shown

		return nil
	case codeOf(err) != "":
		return nil
	default:
		return err
	}
}
