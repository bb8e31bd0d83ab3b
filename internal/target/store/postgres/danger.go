package postgres

import (
	"regexp"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// dangerousName are settings that take effect without a restart and can lock everybody out all the same, keep the next start
// from succeeding, or have the server run a program: those that name files, directories, commands and libraries; TLS and
// Kerberos; and two that hold up every login or every commit.
var dangerousName = regexp.MustCompile(`^(?:(?:ssl|krb)(?:_.*)?|.*_(?:file|keyfile|dir|directory|directories|command|library|libraries|conninfo)|` +
	`dynamic_library_path|primary_slot_name|db_user_namespace|synchronous_standby_names)$`)

// danger is why a parameter has to be allowed by name; nil when it is harmless. Of a parameter that is read at the start
// alone nobody finds out before the next start whether its value can be used: too much memory, a port in use, a library that
// is not there. So all of these are dangerous.
func danger(p parameter) *live.Problem {
	switch {
	case p.context == contextPostmaster:
		return &live.Problem{
			Cause:   live.CauseDangerous,
			Message: "is read only when the server starts, and a value that cannot be used keeps it from starting",
		}
	case dangerousName.MatchString(strings.ToLower(p.name)):
		return &live.Problem{
			Cause:   live.CauseDangerous,
			Message: "can lock everybody out, or keep the server from starting, with a value that cannot be used",
		}
	default:
		return nil
	}
}
