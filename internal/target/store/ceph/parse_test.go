package ceph

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDumpKeepsPlacesApartAndKnowsWhatItCannotRead(t *testing.T) {
	t.Parallel()

	got, err := parseDump([]byte(`[
		{"section":"global","name":"o","value":"1","level":"advanced","can_update_at_runtime":true,"mask":""},
		{"section":"global","name":"o","value":"2","mask":"class:ssd","device_class":"ssd"},
		{"section":"osd.0","name":"o","value":"\u0001\n","mask":""},
		{"section":"client.x","name":"p","value":"a` + "\xff" + `b","mask":""}]`))
	if err != nil {
		t.Fatal(err)
	}

	want := dump{
		{"global", "", "o"}:          {text: "1"},
		{"global", "class:ssd", "o"}: {text: "2"},
		{"osd.0", "", "o"}:           {text: "\x01\n"},
		{"client.x", "", "p"}:        {text: "a\ufffdb", damaged: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(place{}, entry{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAnswerThatIsNoneIsAnErrorWithoutItsText(t *testing.T) {
	t.Parallel()

	const canary = `{"value":"canary"`

	for name, parse := range map[string]func() error{
		"dump":          func() error { _, err := parseDump([]byte(canary)); return err },
		"dump of texts": func() error { _, err := parseDump([]byte(`["canary"]`)); return err },
		"log":           func() error { _, err := parseLog([]byte(canary)); return err },
		"diff":          func() error { _, err := parseDiff([]byte(`{"diff":"canary"}`)); return err },
		"sessions":      func() error { _, err := parseSessions([]byte(canary)); return err },
		"quorum":        func() error { _, err := parseQuorum([]byte(canary)); return err },
		"help":          func() error { _, err := parseOption([]byte(canary)); return err },
	} {
		if err := parse(); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want an error without the text", name, err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()

	for out, want := range map[string]string{
		`{"version":"ceph version 16.2.15 (618f44) pacific (stable)"}`: "16.2.15",
		`{"version":"ceph"}`: "",
		`{}`:                 "",
		`no`:                 "",
	} {
		if got := parseVersion([]byte(out)); got != want {
			t.Errorf("%s: got %q, want %q", out, got, want)
		}
	}
}

func TestParseQuorumLeavesOutMonitorsThatAreDown(t *testing.T) {
	t.Parallel()

	got, err := parseQuorum([]byte(`{"mons":[{"rank":0,"name":"a"},{"rank":1,"name":"b"},{"rank":2,"name":"c"}],"quorum":[0,2]}`))
	if diff := cmp.Diff([]string{"a", "c"}, got); diff != "" || err != nil {
		t.Errorf("got %v (-want +got):\n%s", err, diff)
	}
}

func TestNothingHasEverBeenSet(t *testing.T) {
	t.Parallel()

	if version, err := parseLog([]byte(`[]`)); version != 0 || err != nil {
		t.Errorf("got %d and %v, want version 0", version, err)
	}
}

func TestDangerousOptionsAreKnownByNameAndByBeginning(t *testing.T) {
	t.Parallel()

	for name, want := range map[string]bool{
		"auth_client_required": true, "cephx_require_version": true, "ms_bind_port_min": true, "mon_rocksdb_options": true,
		"mon_max_pg_per_osd": false, "rgw_keystone_admin_password": false, "auth_client_required_not": false,
	} {
		if got := dangerous(name) != ""; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestCaps(t *testing.T) {
	t.Parallel()

	const reading = `allow command "config dump", allow command "config help", allow command "version"`

	cases := map[string]struct {
		grants  []Grant
		observe bool
		want    string
		fails   bool
	}{
		"to look alone":               {want: reading},
		"and at the running monitors": {observe: true, want: reading + `, allow command "mon dump", allow command "config diff", allow command "sessions"`},
		"to change everything":        {grants: []Grant{{}}, want: reading + `, allow command "config set", allow command "config rm"`},
		"one option of one section": {
			grants: []Grant{{Who: "global", Name: "mon_max_pg_per_osd"}},
			want: reading + `, allow command "config set" with who=global name=mon_max_pg_per_osd` +
				`, allow command "config rm" with who=global name=mon_max_pg_per_osd`,
		},
		"options of gateways": {
			grants: []Grant{{Who: "client.rgw.", WhoPrefix: true, Name: "rgw_keystone", NamePrefix: true}},
			want: reading + `, allow command "config set" with who prefix client.rgw. name prefix rgw_keystone` +
				`, allow command "config rm" with who prefix client.rgw. name prefix rgw_keystone`,
		},
		"a mask needs quotes": {
			grants: []Grant{{Who: "osd/class:ssd"}},
			want:   reading + `, allow command "config set" with who="osd/class:ssd", allow command "config rm" with who="osd/class:ssd"`,
		},
		"what would be more than was meant": {grants: []Grant{{Who: `global, allow *`}}, fails: true},
		"quotes in quotes":                  {grants: []Grant{{Name: `x"y`}}, fails: true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := Caps(test.grants, test.observe)
			if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != test.fails {
				t.Errorf("got %v (-want +got):\n%s", err, diff)
			}
		})
	}
}
