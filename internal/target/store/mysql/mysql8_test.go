package mysql

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// mysqlKnowledge is what a MySQL might say of itself. None was asked.
func mysqlKnowledge() knowledge {
	return knowledge{
		variables: map[string]variable{
			"max_connections": {name: "max_connections", value: "151", kind: "BIGINT", min: "1", max: "100000"},
			"general_log":     {name: "general_log", value: "OFF", kind: "MYSQL"},
			"back_log":        {name: "back_log", value: "151", kind: "BIGINT", min: "1", max: "65535", fixed: true, kept: live.Text("200")},
			"insert_id":       {name: "insert_id", sessions: true},
		},
		accounts: accounts{hidden: true},
	}
}

func TestMySQLIsToldWhatToSetAndWhatToKeep(t *testing.T) {
	t.Parallel()
	app := live.Setting{Role: "app", Password: true}
	cases := map[string]struct {
		persist, clear bool
		changes        []live.Change
		want           []string
		refusal        string
	}{
		"set": {
			changes: []live.Change{to("max_connections", "1K"), to("general_log", "1"), {Setting: live.Setting{Name: "max_connections"}}},
			want:    []string{"SET GLOBAL max_connections = 1024, GLOBAL general_log = ON, GLOBAL max_connections = DEFAULT"},
		},
		"keep": {
			persist: true,
			changes: []live.Change{to("max_connections", "200"), to("back_log", "300")},
			want:    []string{"SET PERSIST max_connections = 200, PERSIST_ONLY back_log = 300"},
		},
		"forget": {
			persist: true,
			changes: []live.Change{{Setting: live.Setting{Name: "max_connections"}}, {Setting: live.Setting{Name: "back_log"}}},
			want: []string{
				"RESET PERSIST IF EXISTS max_connections", "SET GLOBAL max_connections = DEFAULT", "RESET PERSIST IF EXISTS back_log",
			},
		},
		"what is read at the start":          {changes: []live.Change{to("back_log", "300")}, refusal: "start of the server"},
		"what is of sessions":                {persist: true, changes: []live.Change{to("insert_id", "1")}, refusal: "of each session alone"},
		"a password":                         {changes: []live.Change{password("app", `a'\`, false)}, want: []string{"ALTER USER `app`@`%` IDENTIFIED BY 'a''\\\\'"}},
		"a password, and the former":         {changes: []live.Change{password("app", "a", true)}, want: []string{"ALTER USER `app`@`%` IDENTIFIED BY 'a' RETAIN CURRENT PASSWORD"}},
		"a password without TLS":             {clear: true, changes: []live.Change{password("app", "canary", false)}, refusal: "without TLS"},
		"a password as it was":               {changes: []live.Change{{Setting: app, To: live.Text("canary"), Raw: true}}, refusal: "does not tell what it was"},
		"a password that locks nobody out":   {changes: []live.Change{password("app", "", false)}, refusal: "any text but an empty one"},
		"a password that is no longer there": {changes: []live.Change{{Setting: app}}, refusal: "not unset"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &session{make: MySQL, version: "MySQL 8.0.36", target: store.Target{Persist: test.persist, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}}
			if test.clear {
				s.target.TLS = nil
			}
			steps, err := s.steps(test.changes, mysqlKnowledge())
			if test.refusal != "" {
				refused, ok := errors.AsType[*store.RefusedError](err)
				if !ok || !strings.Contains(refused.Reason, test.refusal) || strings.Contains(err.Error(), "canary") {
					t.Errorf("got %v, want a refusal with %q", err, test.refusal)
				}

				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, step := range steps {
				if step.statement == "" {
					step.statement = set(step.assigned)
				}
				got = append(got, step.statement)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("statements (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOfAMySQLThatKeepsSettingsWhatItKeepsIsStored(t *testing.T) {
	t.Parallel()
	type finding struct {
		Stored                live.Value
		Running               string
		Restart, Pending, Not bool
		Cause                 live.Cause
	}
	cases := map[string]struct {
		v     variable
		keeps bool
		want  finding
	}{
		"kept nothing":       {variable{name: "max_connections", value: "151", kind: "BIGINT"}, true, finding{Running: "151"}},
		"kept":               {variable{name: "max_connections", value: "200", kind: "BIGINT", kept: live.Text("200")}, true, finding{Stored: live.Text("200"), Running: "200"}},
		"does not keep":      {variable{name: "max_connections", value: "200", kind: "BIGINT", kept: live.Text("200")}, false, finding{Stored: live.Text("200"), Running: "200", Not: true}},
		"for the next start": {variable{name: "back_log", value: "151", kind: "BIGINT", fixed: true, kept: live.Text("200")}, true, finding{Stored: live.Text("200"), Running: "151", Restart: true, Pending: true}},
		"a path":             {variable{name: "tmpdir", value: "/tmp", kind: "MYSQL", fixed: true}, true, finding{Running: "/tmp", Restart: true, Cause: live.CauseDangerous}},
		"a plugin":           {variable{name: "plugin_load", kind: "MYSQL", fixed: true}, true, finding{Restart: true, Cause: live.CauseDangerous}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := test.v.state(live.Setting{Name: test.v.name}, test.keeps)
			got := finding{Stored: state.Stored, Running: state.Running.Text, Restart: state.Restart, Pending: state.RestartPending, Not: state.NoUnset}
			if state.Problem != nil {
				got.Cause = state.Problem.Cause
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheKindOfAVariableOfMySQLIsSeenFromItsValue(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ value, low, high, want string }{
		"a number":             {"151", "1", "100000", "BIGINT"},
		"a number with places": {"10.000000", "0", "31536000", "DOUBLE"},
		"a switch":             {"ON", "0", "0", "MYSQL"},
		"digits without range": {"8.0", "0", "0", "MYSQL"},
		"no number in a range": {"AUTO", "0", "100", "MYSQL"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, mysqlKind(test.value, test.low, test.high)); diff != "" {
				t.Errorf("kind (-want +got):\n%s", diff)
			}
		})
	}
}
