package postgres

import (
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// Grants returns the statements by which an administrator gives a user all that is needed to keep the settings live, and
// nothing more. They need PostgreSQL 15; before that the settings of the whole server need a superuser. Lines that begin
// with -- are comments: a right that cannot be granted by a statement that is known without asking the server.
func Grants(user string, settings []live.Setting) []string {
	var g grants

	for _, s := range settings {
		switch {
		case s.Role != "":
			g.role(user, s)
		case s.Database != "":
			g.add("-- " + identifier(user) + " has to own the database " + identifier(s.Database) + ", or be a member of the role that does")
			g.set(user, s)
		default:
			for _, grant := range []string{grantAlter(s.Name), grantReload, grantFiles, grantShowFiles} {
				g.add(granted(user, grant))
			}
		}
	}

	return g
}

const (
	grantReload    = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf()"
	grantFiles     = "GRANT SELECT ON pg_catalog.pg_file_settings"
	grantShowFiles = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings()"
)

func grantAlter(name string) string { return "GRANT ALTER SYSTEM ON PARAMETER " + parameterName(name) }

// granted are statements that give rights to a user.
func granted(user string, grants ...string) string {
	to := " TO " + identifier(user)

	return strings.Join(grants, to+"; ") + to
}

// grants are statements, each once.
type grants []string

// role adds what a setting or a password of a role needs. Everybody may change his own.
func (g *grants) role(user string, s live.Setting) {
	if s.Role != user {
		g.add("ALTER ROLE " + identifier(user) + " CREATEROLE")
		g.add("-- from PostgreSQL 16 on also: GRANT " + identifier(s.Role) + " TO " + identifier(user) + " WITH ADMIN OPTION")
	}

	if !s.Password {
		g.set(user, s)
	}
}

func (g *grants) set(user string, s live.Setting) {
	g.add("-- if " + s.Name + " is one that only superusers set in a session: GRANT SET ON PARAMETER " + parameterName(s.Name) + " TO " + identifier(user))
}

func (g *grants) add(statement string) {
	if !slices.Contains(*g, statement) {
		*g = append(*g, statement)
	}
}
