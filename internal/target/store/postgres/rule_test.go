package postgres

import (
	"strings"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/live"
)

func TestARuleAcceptsWhatTheServerDoesAndSaysWhatItWants(t *testing.T) {
	t.Parallel()

	workMem := parameter{name: "work_mem", kind: "integer", unit: "kB", least: "64", most: "2147483647"}
	cost := parameter{name: "random_page_cost", kind: "real", least: "0", most: "1.79769e+308"}
	level := parameter{name: "synchronous_commit", kind: "enum", values: []string{"local", "remote_apply", "on", "off"}}
	cases := map[string]struct {
		parameter parameter
		role      bool
		text      string
		want      string // what the error says; empty if it is accepted
	}{
		"on":                           {parameter{kind: "bool"}, false, "ON", ""},
		"the beginning of true":        {parameter{kind: "bool"}, false, "tr", ""},
		"o could be on or off":         {parameter{kind: "bool"}, false, "o", "takes on or off"},
		"two is no truth":              {parameter{kind: "bool"}, false, "2", "takes on or off"},
		"a size":                       {workMem, false, "64MB", ""},
		"the smallest":                 {workMem, false, "64kB", ""},
		"a size that is too small":     {workMem, false, "63kB", "takes values from 64 to 2147483647 in units of kB"},
		"a size beyond integers":       {workMem, false, "9999TB", "takes values from 64 to 2147483647 in units of kB"},
		"a wrong unit":                 {workMem, false, "64mb", "takes a whole number with one of the units TB, GB, MB, kB, B, spelt like this, or without one in units of kB"},
		"no number":                    {workMem, false, "much", "takes a whole number with one"},
		"a real number":                {cost, false, "1.1", ""},
		"a real number with a unit":    {cost, false, "1.1ms", "takes a number without a unit"},
		"a negative real number":       {cost, false, "-1", "takes values from 0 to 1.79769e+308"},
		"a word of the list":           {level, false, "Remote_Apply", ""},
		"a word that means one":        {level, false, "true", ""},
		"a word that is not in it":     {level, false, "sometimes", "takes one of local, remote_apply, on, off"},
		"a text":                       {parameter{kind: "string"}, false, "any'\\\ttext", ""},
		"a text with a line break":     {parameter{kind: "string"}, false, "a\nb", "takes no line break: ALTER SYSTEM refuses it"},
		"such a text for a role":       {parameter{kind: "string"}, true, "a\nb", ""},
		"a text that is not UTF-8":     {parameter{kind: "string"}, true, "\xff", "takes text in UTF-8 only"},
		"a text with a NUL":            {parameter{kind: "string"}, true, "\x00", "takes no NUL character"},
		"a name that would be changed": {parameter{name: "application_name", kind: "string"}, true, "ä", "takes printable ASCII characters only"},
		"a list":                       {parameter{name: "search_path", kind: "string"}, false, `"A b", c`, ""},
		"a list that is none":          {parameter{name: "search_path", kind: "string"}, false, `a b`, "takes names with commas between them"},
		"a list with a line break":     {parameter{name: "search_path", kind: "string"}, false, "a,\nb", "takes no line break"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			err := ruleOf(test.parameter, !test.role).Check(test.text)

			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want it accepted", err)
			case test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)):
				t.Errorf("got %v, want: %s", err, test.want)
			}
		})
	}
}

func TestARuleComparesWhatIsMeant(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		rule       live.Rule
		have, want string
		same       bool
	}{
		"sizes in any unit":                   {numberRule{base: "8kB", whole: true}, "8192", "64MB", true},
		"sizes that are rounded to the same":  {numberRule{base: "8kB", whole: true}, "1", "9000B", true},
		"different sizes":                     {numberRule{base: "8kB", whole: true}, "8192", "64kB", false},
		"real numbers to the last digit":      {numberRule{}, "1.23457", "1.234567", false},
		"something unreadable is only itself": {numberRule{}, "x", "x", true},
		"truths":                              {boolRule{}, "on", "1", true},
		"opposites":                           {boolRule{}, "on", "false", false},
		"words":                               {enumRule{values: []string{"on", "off", "local"}}, "on", "YES", true},
		"debug and its number":                {enumRule{values: []string{"debug2", "log"}}, "debug2", "debug", true},
		"texts to the letter":                 {textRule{}, "a", "A", false},
		"time zones in any case":              {textRule{name: "log_timezone"}, "UTC", "utc", true},
		"paths without what is too much":      {textRule{name: "log_directory"}, "log", "./log//", true},
		"lists name by name":                  {namesRule{}, `"$user", public`, `"$user",PUBLIC`, true},
		"the empty list and the empty name":   {namesRule{}, `""`, ``, true},
		"one name and two":                    {namesRule{}, `"a, b"`, `a, b`, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := test.rule.Same(test.have, test.want); got != test.same {
				t.Errorf("Same(%q, %q) = %t, want %t", test.have, test.want, got, test.same)
			}
		})
	}
}

func TestDangerousIsWhatEndsServersAndLocksPeopleOut(t *testing.T) {
	t.Parallel()

	for name, dangerous := range map[string]bool{
		"archive_command": true, "restore_command": true, "archive_library": true, "session_preload_libraries": true, "local_preload_libraries": true,
		"dynamic_library_path": true, "ssl": true, "ssl_cert_file": true, "ssl_ciphers": true, "ssl_crl_dir": true, "krb_server_keyfile": true,
		"primary_conninfo": true, "log_directory": true, "db_user_namespace": true, "synchronous_standby_names": true, "promote_trigger_file": true,
		"SSL_Key_File": true, "ssl_passphrase_command": true,
		"work_mem": false, "search_path": false, "log_filename": false, "log_file_mode": false, "statement_timeout": false, "archive_timeout": false,
		"log_line_prefix": false, "my.own_file_name": false,
	} {
		if got := danger(parameter{name: name, context: contextSighup}) != nil; got != dangerous {
			t.Errorf("%s: dangerous is %t, want %t", name, got, dangerous)
		}
	}

	if danger(parameter{name: "max_connections", context: contextPostmaster}) == nil {
		t.Error("what is read at the start alone is not dangerous")
	}
}

func TestGrantsAreTheLeastThatIsNeeded(t *testing.T) {
	t.Parallel()

	got := strings.Join(Grants(`o"dd`, []live.Setting{
		{Name: "work_mem"},
		{Name: "log_line_prefix"},
		{Database: "shop", Name: "work_mem"},
		{Role: "app", Name: "work_mem"},
		{Role: "app", Password: true},
		{Role: `o"dd`, Password: true},
	}), "\n")
	want := `GRANT ALTER SYSTEM ON PARAMETER "work_mem" TO "o""dd"
GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO "o""dd"
GRANT SELECT ON pg_catalog.pg_file_settings TO "o""dd"
GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO "o""dd"
GRANT ALTER SYSTEM ON PARAMETER "log_line_prefix" TO "o""dd"
-- "o""dd" has to own the database "shop", or be a member of the role that does
-- if work_mem is one that only superusers set in a session: GRANT SET ON PARAMETER "work_mem" TO "o""dd"
ALTER ROLE "o""dd" CREATEROLE
-- from PostgreSQL 16 on also: GRANT "app" TO "o""dd" WITH ADMIN OPTION`

	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
