package postgres

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// What servers say that are not at hand: other versions, and those of operators.
func TestFactsComeToAState(t *testing.T) {
	t.Parallel()

	all := facts{
		user: "us", database: "ours", version: 17, reloadable: true, showable: true, verifiable: true,
		parameters: map[string]parameter{
			"work_mem": {
				name: "work_mem", kind: "integer", context: contextUser, source: "default", unit: "kB", least: "64", most: "2147483647",
				running: "4096", boot: "4096", permitted: true,
			},
		},
	}
	system := live.Setting{Name: "work_mem"}
	custom := live.Setting{Name: "their.own"}
	cases := map[string]struct {
		facts func(facts) facts
		of    live.Setting
		want  live.State
	}{
		"a server that does not allow ALTER SYSTEM": {
			func(f facts) facts {
				f.parameters = map[string]parameter{"work_mem": f.parameters["work_mem"], "allow_alter_system": {name: "allow_alter_system", running: "off"}}

				return f
			},
			system,
			live.State{Problem: &live.Problem{
				Cause: live.CauseFixed, Message: "cannot be changed: allow_alter_system is off; change it where the server's operator takes its settings from",
			}},
		},
		"a server that knows no rights for a parameter": {
			func(f facts) facts {
				f.version, f.showable = 14, false

				return f
			},
			system,
			live.State{Problem: &live.Problem{
				Cause: live.CauseDenied, Message: "needs a superuser, and us is none; from PostgreSQL 15 on there are rights for it",
			}},
		},
		"from version 16 on the server takes any parameter with a dot": {
			func(f facts) facts { return f }, custom, live.State{},
		},
		"a value that only our session has kept is not the server's": {
			func(f facts) facts {
				f.custom = map[string]live.Value{"their.own": live.Text("kept")}

				return f
			},
			custom,
			live.State{},
		},
		"a line that is not loaded yet is stored and does not run": {
			func(f facts) facts {
				f.lines = []line{
					{file: "/d/postgresql.auto.conf", name: "WORK_MEM", text: "9MB", applied: true, sequence: 9},
					{file: "/d/postgresql.conf", name: "work_mem", text: "8MB", sequence: 1},
				}

				return f
			},
			system,
			live.State{Stored: live.Text("9MB"), Running: live.Text("4096")},
		},
		"beneath what our own role has we cannot see": {
			func(f facts) facts {
				f.roles = map[string]live.Value{"app": {}}
				f.entries = []entry{{role: "us", name: "work_mem", text: "1MB"}}

				return f
			},
			live.Setting{Role: "app", Name: "work_mem"},
			live.State{},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := test.facts(all)
			got := f.state(test.of)
			got.Rule = nil
			test.want.Setting = test.of

			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}
