package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// The contexts of pg_settings that matter here: when a parameter can be changed.
const (
	contextInternal   = "internal"
	contextPostmaster = "postmaster"
	contextSighup     = "sighup"
	contextSuperuser  = "superuser"
	contextUser       = "user"
)

// The sources of pg_settings that outrank the files, in ascending order, and that of the files.
const (
	sourceFile         = "configuration file"
	sourceCommandLine  = "command line"
	sourceGlobal       = "global"
	sourceDatabase     = "database"
	sourceUser         = "user"
	sourceDatabaseUser = "database user"
	sourceOverride     = "override"
	sourceSession      = "session"
)

// autoFile is the file that ALTER SYSTEM writes.
const autoFile = "postgresql.auto.conf"

// parameter is a row of pg_settings.
type parameter struct {
	name, kind, context, source string
	// unit of values without one, and the range in it.
	unit, least, most string
	values            []string
	// running is what the session has without what it has set for itself; boot is the value without any configuration.
	running, boot string
	// pending is what the server says of a pending restart. It may be left over from a change that was taken back.
	pending bool
	// permitted says that the user may set it for the whole server.
	permitted bool
}

// onlyNew says that a session keeps what it began with, whatever is reloaded: only a new one shows what is in force.
func (p parameter) onlyNew() bool { return strings.HasSuffix(p.context, "backend") }

// line is a line of a configuration file: a row of pg_file_settings.
type line struct {
	file     string
	number   int
	name     string
	text     string
	applied  bool
	mistake  string
	sequence int
}

// entry is what is set for a database, a role, or a role in a database: an element of a row of pg_db_role_setting. An empty
// name stands for all.
type entry struct{ database, role, name, text string }

// facts are what the server has told in answer to one question. They are never changed once they are complete.
type facts struct {
	user, database string
	version        int // major
	// reloadable and showable: the user may have the server reload its files and see what is in them. verifiable: he may
	// see verifiers.
	reloadable, showable, verifiable bool
	// parameters by name in lower case; custom are the values of those that pg_settings does not list; denied are those that
	// are there and not shown.
	parameters map[string]parameter
	custom     map[string]live.Value
	denied     map[string]bool
	// normal are stored values as the server writes them once they are in force, by name in lower case.
	normal  map[string]string
	lines   []line
	entries []entry
	// roles and databases that are there, of those that were asked for, and the roles' verifiers.
	roles     map[string]live.Value
	databases map[string]bool
}

// state is what the facts come to for a setting.
func (f *facts) state(s live.Setting) live.State {
	state := live.State{Setting: s}

	switch problem := f.place(s); {
	case problem != nil:
		state.Problem = problem
	case s.Password:
		f.password(&state)
	default:
		f.parameter(&state)
	}

	return state
}

// place says whether the role and the database of a setting are there.
func (f *facts) place(s live.Setting) *live.Problem {
	if s.Who != "" || s.Prefix != "" {
		return &live.Problem{Cause: live.CauseUnknown, Message: errScope.Error()}
	}

	if _, known := f.roles[s.Role]; s.Role != "" && !known {
		return &live.Problem{Cause: live.CauseUnknown, Message: fmt.Sprintf("is for the role %q, which the server does not have", s.Role)}
	}

	if s.Database != "" && !f.databases[s.Database] {
		return &live.Problem{Cause: live.CauseUnknown, Message: fmt.Sprintf("is for the database %q, which the server does not have", s.Database)}
	}

	return nil
}

func (f *facts) password(state *live.State) {
	state.Rule = passwordRule{role: state.Setting.Role}

	if state.Hidden = !f.verifiable; !state.Hidden {
		state.Stored = f.roles[state.Setting.Role]
		state.Running = state.Stored
	}
}

func (f *facts) parameter(state *live.State) {
	s := state.Setting
	name := strings.ToLower(s.Name)

	p, known := f.parameters[name]
	if !known {
		p, known = f.unlisted(s)
	}

	state.Problem = f.problem(s, p, known)
	if state.Problem != nil && state.Problem.Cause != live.CauseDangerous {
		return
	}

	state.Rule = ruleOf(p, systemWide(s))

	if systemWide(s) {
		f.system(state, p)

		return
	}

	for _, e := range f.entries {
		if e.name != name {
			continue
		}

		if e.database == s.Database && e.role == s.Role {
			state.Stored = live.Text(e.text)
		} else if outranks(e, s) {
			state.ShadowedBy = appended(state.ShadowedBy, e.owner())
		}
	}

	state.Running = f.inScope(s, name, p)
}

// unlisted is a parameter that pg_settings does not list. One with a dot may be somebody's own: any text. The server tells
// whether it takes it: for a role or a database it nearly always does, for itself from version 16 on, or when it has it
// already.
func (f *facts) unlisted(s live.Setting) (parameter, bool) {
	name := strings.ToLower(s.Name)
	value := f.custom[name]

	if !settable(s.Name) || !strings.Contains(name, ".") || systemWide(s) && f.version < 16 && !value.Set {
		return parameter{}, false
	}

	return parameter{name: name, kind: "string", context: contextUser, running: value.Text, permitted: true}, true
}

// problem is why a setting cannot be changed.
func (f *facts) problem(s live.Setting, p parameter, known bool) *live.Problem {
	switch {
	case f.denied[strings.ToLower(s.Name)]:
		return &live.Problem{
			Cause:   live.CauseDenied,
			Message: fmt.Sprintf("is not shown to %s: %s", f.user, granted(f.user, "GRANT pg_read_all_settings")),
		}
	case !known:
		return &live.Problem{Cause: live.CauseUnknown, Message: "is not known to the server"}
	case fixed(p):
		return &live.Problem{Cause: live.CauseFixed, Message: "cannot be changed by ALTER SYSTEM, ALTER DATABASE or ALTER ROLE"}
	case systemWide(s):
		if problem := f.forbidden(p); problem != nil {
			return problem
		}
	case p.context != contextUser && p.context != contextSuperuser:
		return &live.Problem{Cause: live.CauseFixed, Message: "is one of the whole server: it cannot be set for a database or a role"}
	}

	return danger(p)
}

// fixed says that no statement of ours changes a parameter. Those of the transaction belong to each transaction; the two
// others say where the files are.
func fixed(p parameter) bool {
	switch strings.ToLower(p.name) {
	case "config_file", "data_directory", "transaction_deferrable", "transaction_isolation", "transaction_read_only":
		return true
	default:
		return p.context == contextInternal
	}
}

// forbidden is which rights the user lacks to change a parameter for the whole server and to see what came of it.
func (f *facts) forbidden(p parameter) *live.Problem {
	if allow, there := f.parameters["allow_alter_system"]; there && allow.running == "off" {
		return &live.Problem{
			Cause:   live.CauseFixed,
			Message: "cannot be changed: allow_alter_system is off; change it where the server's operator takes its settings from",
		}
	}

	var missing []string

	if !p.permitted {
		missing = append(missing, grantAlter(p.name))
	}

	if !f.reloadable {
		missing = append(missing, grantReload)
	}

	if !f.showable {
		missing = append(missing, grantFiles, grantShowFiles)
	}

	if missing == nil {
		return nil
	}

	message := fmt.Sprintf("needs rights that %s does not have: %s", f.user, granted(f.user, missing...))
	if f.version < 15 {
		message = fmt.Sprintf("needs a superuser, and %s is none; from PostgreSQL 15 on there are rights for it", f.user)
	}

	return &live.Problem{Cause: live.CauseDenied, Message: message}
}

// system fills in what holds for the whole server.
func (f *facts) system(state *live.State, p parameter) {
	name := strings.ToLower(p.name)

	last, found := f.last(name)
	if found && strings.HasSuffix(last.file, "/"+autoFile) {
		state.Stored = live.Text(last.text)
	}

	state.Running = f.base(p)
	outranked := f.outranked(state, p, name)
	state.Restart = p.context == contextPostmaster

	switch {
	case outranked:
	case state.Restart:
		// The server compares what is in the files with what it runs by itself, and says the opposite of "applied" of what
		// waits. Its pending_restart alone can be left over.
		state.RestartPending = found && !last.applied || !found && p.pending && !state.Rule.Same(p.running, p.boot)
		if state.Stored.Set && last.applied {
			state.Running = state.Stored
		}
	case state.Stored.Set && f.means(p, last.text):
		state.Running = state.Stored
	}
}

// outranked finds what outranks the files, for everybody, for a session like ours or for others, and returns whether what
// runs is then not what the files say.
func (f *facts) outranked(state *live.State, p parameter, name string) bool {
	by := ""

	switch p.source {
	case sourceCommandLine:
		by = "the command line of the server"
	case sourceOverride:
		if p.context != contextPostmaster {
			by = "the server itself"
		}
	}

	state.ShadowedBy = by

	var ours entry

	for _, e := range f.entries {
		if e.name != name {
			continue
		}

		state.ShadowedBy = appended(state.ShadowedBy, e.owner())

		if (e.database == "" || e.database == f.database) && (e.role == "" || e.role == f.user) && rank(e) >= rank(ours) {
			ours, by = e, e.owner()
			state.Running = live.Text(e.text)
		}
	}

	return by != ""
}

// means says whether a stored text is what runs, in the form in which the server shows it: real numbers with six digits, some
// texts in a form of its own.
func (f *facts) means(p parameter, stored string) bool {
	if p.kind == "real" {
		value, err := number(stored, p.unit, false)

		return err == nil && printed(value) == p.running
	}

	normal, known := f.normal[strings.ToLower(p.name)]

	return known && normal == p.running
}

// printed is a real number as the server shows it: as C's %g.
func printed(value float64) string {
	text := strconv.FormatFloat(value, 'g', 6, 64)

	mantissa, exponent, _ := strings.Cut(text, "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}

	if exponent != "" {
		return mantissa + "e" + exponent
	}

	return mantissa
}

// last is the line that counts for a parameter: the last one. What ALTER SYSTEM writes is read last.
func (f *facts) last(name string) (line, bool) {
	var found []line

	for _, l := range f.lines {
		if lower(l.name) == name {
			found = append(found, l)
		}
	}

	if found == nil {
		return line{}, false
	}

	return slices.MaxFunc(found, func(a, b line) int { return a.sequence - b.sequence }), true
}

// inScope is what a new session gets for which the scope of a setting holds and nothing narrower does.
func (f *facts) inScope(s live.Setting, name string, p parameter) live.Value {
	best, running := entry{}, live.Value{}

	for _, e := range f.entries {
		if e.name == name && (e.database == "" || e.database == s.Database) && (e.role == "" || e.role == s.Role) && rank(e) >= rank(best) {
			best, running = e, live.Text(e.text)
		}
	}

	switch {
	case best.name != "":
		return running
	case f.ofSession(name):
		return live.Value{} // beneath what our own session has we cannot see
	default:
		return f.base(p)
	}
}

// base is what a parameter is for the whole server. One that pg_settings does not list is so only by the files: else it is
// something that our own session has kept.
func (f *facts) base(p parameter) live.Value {
	name := strings.ToLower(p.name)
	_, listed := f.parameters[name]

	if _, found := f.last(name); !listed && !found {
		return live.Value{}
	}

	return live.Text(p.running)
}

// ofSession says whether our own session has a value of its own for a parameter.
func (f *facts) ofSession(name string) bool {
	return slices.ContainsFunc(f.entries, func(e entry) bool {
		return e.name == name && (e.database == "" || e.database == f.database) && (e.role == "" || e.role == f.user)
	})
}

// outranks says whether an entry outranks a setting in some session for which the setting holds.
func outranks(e entry, s live.Setting) bool {
	meet := (e.database == "" || s.Database == "" || e.database == s.Database) && (e.role == "" || s.Role == "" || e.role == s.Role)

	return meet && rank(e) > rank(entry{database: s.Database, role: s.Role, name: e.name})
}

// rank orders scopes: the whole server, every role, a database, a role, a role in a database.
func rank(e entry) int {
	switch {
	case e.name == "":
		return 0
	case e.database != "" && e.role != "":
		return 4
	case e.role != "":
		return 3
	case e.database != "":
		return 2
	default:
		return 1
	}
}

// owner is an entry in words.
func (e entry) owner() string {
	switch {
	case e.database != "" && e.role != "":
		return fmt.Sprintf("what is set for the role %q in the database %q", e.role, e.database)
	case e.role != "":
		return fmt.Sprintf("what is set for the role %q", e.role)
	case e.database != "":
		return fmt.Sprintf("what is set for the database %q", e.database)
	default:
		return "what ALTER ROLE ALL has set"
	}
}

func appended(list, item string) string {
	if list == "" {
		return item
	}

	return list + " and " + item
}
