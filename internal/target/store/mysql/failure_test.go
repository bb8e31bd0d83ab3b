package mysql

import (
	"context"
	"errors"
	"strings"
	"testing"

	mysql "github.com/go-sql-driver/mysql"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// Every number that a server can answer has one meaning, and its text, which may have the value in it, is not passed on.
func TestNoAnswerOfTheServerIsPassedOn(t *testing.T) {
	t.Parallel()
	s := &session{make: MariaDB, target: store.Target{Endpoints: []string{"db:3306"}}}
	setting := live.Setting{Name: "max_connections"}
	for number := range uint16(5000) {
		answer := &mysql.MySQLError{Number: number, SQLState: [5]byte{'H', 'Y', '0', '0', '0'}, Message: "canary"}
		for what, err := range map[string]error{
			"about a setting": s.failure(t.Context(), "set the variables", setting, answer),
			"about several":   s.failure(t.Context(), "set the variables", live.Setting{}, answer),
			"while reading":   s.failed(t.Context(), "read", answer),
			"at the login":    notLetIn(answer),
		} {
			if err == nil || strings.Contains(err.Error(), "canary") {
				t.Fatalf("error %d %s: got %v", number, what, err)
			}
			if _, still := answerOf(err); still {
				t.Fatalf("error %d %s: the answer itself is in the error", number, what)
			}
		}
	}
}

func TestAFailureSaysWhetherTheServerHasRefused(t *testing.T) {
	t.Parallel()
	s := &session{make: MariaDB, target: store.Target{Endpoints: []string{"db:3306"}}}
	ended, end := context.WithCancelCause(t.Context())
	end(errClosed)
	cases := map[string]struct {
		err     error
		ctx     context.Context
		want    string
		refused bool
	}{
		"nothing":              {nil, t.Context(), "", false},
		"a value":              {&mysql.MySQLError{Number: 1231}, t.Context(), "the store refuses max_connections: has a value that the server does not take for it", true},
		"a privilege":          {&mysql.MySQLError{Number: 1227}, t.Context(), "the store refuses max_connections: may not be changed by this user; it needs GRANT CONNECTION ADMIN ON *.* TO `USER`@`%`", true},
		"another number":       {&mysql.MySQLError{Number: 4999, SQLState: [5]byte{'H', 'Y', '0', '0', '0'}}, t.Context(), "the store refuses max_connections: is not taken: the server answers with error 4999 (SQLSTATE HY000)", true},
		"another time":         {&mysql.MySQLError{Number: 1053, SQLState: [5]byte{'0', '8', 'S', '0', '1'}}, t.Context(), "cannot set it at db:3306: the server answers with error 1053 (SQLSTATE 08S01)", false},
		"a connection":         {mysql.ErrInvalidConn, t.Context(), "cannot set it at db:3306: invalid connection", false},
		"a session that ended": {context.Canceled, ended, "cannot set it at db:3306: the session is closed", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := s.failure(test.ctx, "set it", live.Setting{Name: "max_connections"}, test.err)
			got := ""
			if err != nil {
				got = err.Error()
			}
			_, refused := errors.AsType[*store.RefusedError](err)
			if got != test.want || refused != test.refused {
				t.Errorf("got %q, refused %t, want %q, %t", got, refused, test.want, test.refused)
			}
		})
	}
}

func TestALoginThatIsNotTakenIsToldFromAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err   error
		login bool
	}{
		"a wrong password":     {&mysql.MySQLError{Number: 1045}, true},
		"a host":               {&mysql.MySQLError{Number: 1130}, true},
		"a blocked host":       {&mysql.MySQLError{Number: 1129}, true},
		"a plugin":             {mysql.ErrUnknownPlugin, true},
		"too many connections": {&mysql.MySQLError{Number: 1040}, false},
		"no TLS":               {mysql.ErrNoTLS, false},
		"nobody":               {errors.New("connection refused"), false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := errors.Is(notLetIn(test.err), store.ErrLogin); got != test.login {
				t.Errorf("got %t, want %t", got, test.login)
			}
		})
	}
}

func TestDangerousVariablesSayWhy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"init_connect", "read_only", "super_read_only", "require_secure_transport", "default_password_lifetime", "secure_auth", "general_log_file",
		"server_id", "gtid_slave_pos", "replicate_do_db", "wsrep_cluster_address", "tls_version", "admin_port", "mandatory_roles",
	} {
		if dangerous(name) == "" {
			t.Errorf("%s is harmless", name)
		}
	}
	for _, name := range []string{"autocommit", "max_connections", "sort_buffer_size", "sql_mode", "general_log", "event_scheduler", "sync_binlog"} {
		if why := dangerous(name); why != "" {
			t.Errorf("%s %s", name, why)
		}
	}
}
