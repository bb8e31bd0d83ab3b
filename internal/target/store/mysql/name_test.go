package mysql

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
)

func TestASettingHasOneSpelling(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ setting, want live.Setting }{
		"as in an option file":         {live.Setting{Name: "Max-Connections"}, live.Setting{Name: "max_connections"}},
		"the name that is older":       {live.Setting{Name: "log_slow_query_time"}, live.Setting{Name: "long_query_time"}},
		"an account for every host":    {live.Setting{Role: "app@%", Password: true}, live.Setting{Role: "app", Password: true}},
		"an account of one host":       {live.Setting{Role: "App@h", Password: true}, live.Setting{Role: "App@h", Password: true}},
		"a name that nothing can have": {live.Setting{Name: "a b;"}, live.Setting{Name: "a b;"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Normalise(test.setting)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Normalise (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, Normalise(got)); diff != "" {
				t.Errorf("a second time (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARoleIsAnAccount(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		role string
		want account
		sql  string
	}{
		"a user alone":        {"app", account{"app", "%"}, "`app`@`%`"},
		"a user and a host":   {"app@DB.example", account{"app", "db.example"}, "`app`@`db.example`"},
		"a user with an at":   {"a@b@10.0.0.%", account{"a@b", "10.0.0.%"}, "`a@b`@`10.0.0.%`"},
		"odd characters":      {"a`'\\", account{"a`'\\", "%"}, "`a``'\\`@`%`"},
		"the nameless user":   {"@localhost", account{"", "localhost"}, "``@`localhost`"},
		"a host that is none": {"app@", account{"app", ""}, "`app`@``"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := accountOf(test.role)
			if diff := cmp.Diff([]any{test.want.user, test.want.host, test.sql}, []any{got.user, got.host, got.String()}); diff != "" {
				t.Errorf("account (-want +got):\n%s", diff)
			}
		})
	}
}
