package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// accounts is what is known of the accounts of some settings.
type accounts struct {
	// hidden says that the server does not tell.
	hidden bool
	ways   map[account]ways
}

// accounts asks for the accounts of the settings that are passwords.
func (s *session) accounts(ctx context.Context, settings []live.Setting) (accounts, error) {
	var wanted []string
	for _, setting := range settings {
		if setting.Password {
			a := accountOf(setting.Role)
			wanted = append(wanted, fmt.Sprintf("(User = %s AND Host = %s)", quoted(a.user), quoted(a.host)))
		}
	}
	known := accounts{hidden: s.make == MySQL, ways: map[account]ways{}}
	if len(wanted) == 0 || known.hidden {
		return known, nil
	}
	query := "SELECT User, Host, Priv FROM mysql.global_priv WHERE " + strings.Join(wanted, " OR ")
	err := s.rows(ctx, query, func(scan func(...any) error) error {
		var a account
		var row []byte
		if err := scan(&a.user, &a.host, &row); err != nil {
			return err
		}
		all, role, err := readWays(row)
		if !role && err == nil {
			known.ways[a] = all
		}

		return err
	})
	if errors.Is(err, errDenied) {
		return accounts{hidden: true}, nil
	}

	return known, err
}

// state is what is known of a password.
func (k accounts) state(setting live.Setting) live.State {
	state := live.State{Setting: setting, NoUnset: true}
	a := accountOf(setting.Role)
	all, found := k.ways[a]
	switch {
	case setting.Who+setting.Database+setting.Prefix+setting.Name != "":
		state.Problem = &live.Problem{Cause: live.CauseUnknown, Message: "is a password, which has a role and nothing else"}
	case k.hidden:
		state.Hidden, state.Rule = true, secret{}
	case !found:
		state.Problem = &live.Problem{Cause: live.CauseUnknown, Message: fmt.Sprintf(
			"has no account %s; name the host too when it is of one host, as in app@10.0.0.%%", a)}
	case all.strange() != "":
		state.Problem = &live.Problem{Cause: live.CauseFixed, Message: fmt.Sprintf(
			"cannot be set: %s logs in by the plugin %s, which is not supported here", a, all.strange())}
	default:
		state.Stored, state.Running, state.Rule = live.Text(all.String()), live.Text(all.String()), secret{}
	}

	return state
}

// strange is the first plugin of which we do not know what becomes of it when the password changes.
func (all ways) strange() string {
	for _, w := range all {
		if !w.known() {
			return w.plugin
		}
	}

	return ""
}

// passwordStatement is how a password is changed.
func (s *session) passwordStatement(c live.Change, known accounts) (string, error) {
	a := accountOf(c.Setting.Role)
	refuse := func(reason string) (string, error) {
		return "", &store.RefusedError{Setting: c.Setting, Reason: reason}
	}
	if p := known.state(c.Setting).Problem; p != nil {
		return refuse(p.Message)
	}
	switch {
	case !c.To.Set:
		return refuse("is a password, which can be changed but not unset")
	case c.Raw && known.hidden:
		return refuse("cannot be put back as it was: the server does not tell what it was")
	case !c.Raw && c.To.Text == "":
		return refuse(secret{}.Check("").Error())
	case s.make == MySQL:
		return s.mysqlPassword(a, c)
	case c.Keep && known.hidden:
		return refuse(fmt.Sprintf("cannot stay valid besides the new one: that needs %s", strings.Join(Grants(MariaDB, "USER", false, c.Setting), "; ")))
	}
	next, err := parseWays(c.To.Text)
	if !c.Raw {
		next, err = known.ways[a].with(c.To.Text, c.Keep)
	}
	if err != nil {
		return refuse(err.Error())
	}

	return a.identified(next), nil
}

// identified is the statement that lets people log in to the account in these ways only. It has verifiers in it and no
// password: the server may write statements to its logs.
func (a account) identified(by ways) string {
	return fmt.Sprintf("ALTER USER %s IDENTIFIED VIA %s", a, by)
}
