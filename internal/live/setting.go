package live

import (
	"cmp"
	"strings"
	"unicode/utf8"
)

// Setting addresses one setting within a store. It can be compared and be the key of a map.
type Setting struct {
	// Who is the section of Ceph's configuration database; "global" where none was given.
	Who string
	// Database and Role say for which database, for which role, or for which role in which database alone a PostgreSQL
	// parameter holds. Role is also whose password it is.
	Database, Role string
	// Alias stands for the role of a password in everything that is told, where the role's name is not to be told.
	Alias string
	// Prefix comes before the name of an etcd key, and is {prefix} in an HTTP path.
	Prefix string
	// Name as the store calls it; empty for a password.
	Name string
	// Password says that it is the password of Role.
	Password bool
}

// ID is the setting as people read it: "global/mon_max_pg_per_osd", "work_mem", "database=shop/work_mem", "password=app".
func (s Setting) ID() string {
	if s.Password {
		return "password=" + cmp.Or(s.Alias, s.Role)
	}

	var b strings.Builder

	if s.Who != "" {
		b.WriteString(s.Who + "/")
	}

	if s.Database != "" {
		b.WriteString("database=" + s.Database + "/")
	}

	if s.Role != "" {
		b.WriteString("role=" + s.Role + "/")
	}

	return b.String() + s.Prefix + s.Name
}

// legible says whether the setting can be written down as text and found again.
func (s Setting) legible() bool {
	return utf8.ValidString(s.Who) && utf8.ValidString(s.Database) && utf8.ValidString(s.Role) && utf8.ValidString(s.Prefix) &&
		utf8.ValidString(s.Name)
}

// Value is a text, or that there is none. The zero Value is that there is none.
type Value struct {
	Set  bool
	Text string
}

// Text returns a value that is set.
func Text(text string) Value { return Value{Set: true, Text: text} }

// State is what a store says of one setting.
type State struct {
	Setting Setting
	// Stored is what is set for this very setting, in the store's own form; none when the store's default holds.
	Stored Value
	// Running is what is in force, as a new session or the running daemon has it; none when it cannot be told.
	Running Value
	// ShadowedBy names what outranks Stored, such as "the configuration file of mon.a"; empty when nothing does.
	ShadowedBy string
	// Restart says that the store takes the setting up only when it starts.
	Restart bool
	// RestartPending says that what is stored waits for the store's next start.
	RestartPending bool
	// Hidden says that the store does not tell what it has: whether it has to be changed is decided by what was recorded, and
	// Stored and Running say nothing.
	Hidden bool
	// NoUnset says that the store has no way to unset it.
	NoUnset bool
	// Rule is what the store accepts; nil exactly when there is a problem.
	Rule Rule
	// Problem says why the setting cannot be changed at all; nil when it can.
	Problem *Problem
}

// Rule is what a store accepts for one setting, as learnt from the store's own schema. It never changes and may be used
// concurrently.
type Rule interface {
	// Check says why the store would not take the text; nil if it would. The error completes a sentence that begins with the
	// setting's name, says what is accepted, and never has the text, which may be a secret.
	Check(text string) error
	// Same says whether what the store has is what is wanted, in whatever form: to many stores 4G is 4294967296.
	Same(have, want string) bool
}

// Cause is a kind of problem.
type Cause string

// The causes.
const (
	// CauseUnknown: the store has no such setting.
	CauseUnknown Cause = "Unknown"
	// CauseFixed: the store lets nobody change it while it runs, or only by other means.
	CauseFixed Cause = "Fixed"
	// CauseDangerous: it can keep the store from starting or lock everybody out. The LiveStore has to allow it by name.
	CauseDangerous Cause = "Dangerous"
	// CauseDenied: the store does not let this user see or change it.
	CauseDenied Cause = "Denied"
)

// Problem is why a setting cannot be changed at all.
type Problem struct {
	Cause Cause
	// Message completes a sentence that begins with the setting's name: "is special: it is only read at the start".
	Message string
}

// Change is one write of one setting.
type Change struct {
	Setting Setting
	// To is the value to be set; none to unset it.
	To Value
	// Raw says that To is in the form of [State.Stored], as it was read from the store earlier. It matters for passwords, of
	// which a store tells a verifier.
	Raw bool
	// Keep lets a password that is valid now stay valid besides the new one.
	Keep bool
}
