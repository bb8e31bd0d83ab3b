package ceph

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
)

func TestParseTarget(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		who, want string
		// says is in the error.
		says string
	}{
		"everything":                              {who: "global", want: "global"},
		"a type":                                  {who: "osd", want: "osd"},
		"a daemon":                                {who: "mon.a", want: "mon.a"},
		"a daemon that is not there yet":          {who: "osd.999", want: "osd.999"},
		"an OSD by a word":                        {who: "osd.abc", want: "osd.abc"},
		"a gateway, as Rook calls it":             {who: "client.rgw.my-store.a", want: "client.rgw.my-store.a"},
		"a device class":                          {who: "osd/class:ssd", want: "osd/class:ssd"},
		"a host":                                  {who: "osd/host:n1", want: "osd/host:n1"},
		"both, in one order":                      {who: "osd/class:ssd/host:n1", want: "osd/host:n1/class:ssd"},
		"a mask alone is of everything":           {who: "class:ssd", want: "global/class:ssd"},
		"a mask before its section":               {who: "host:n1/osd", want: "osd/host:n1"},
		"nothing":                                 {who: "", says: "no section"},
		"a gateway is a client":                   {who: "rgw", says: "no section"},
		"types are in small letters":              {who: "OSD", says: "no section"},
		"a type that has no options":              {who: "auth", says: "no section"},
		"wildcards are dead settings":             {who: "osd.*", says: `say "osd"`},
		"a name is missing":                       {who: "osd.", says: "a name is missing"},
		"a name with a blank":                     {who: "client.rgw a", says: "other characters"},
		"something that is no mask":               {who: "osd/bogusmask", says: "no section"},
		"a mask of a level that no map has":       {who: "osd/hst:n1", says: "no level"},
		"an empty mask would be everything":       {who: "osd/class:", says: "without a value"},
		"two sections":                            {who: "osd/mon", says: "only one"},
		"two masks of one kind":                   {who: "osd/host:a/rack:b", says: "only one"},
		"two classes":                             {who: "osd/class:a/class:b", says: "only one"},
		"a slash too many":                        {who: "osd/", says: "no section"},
		"a trick to have another option's caps":   {who: "client.x/mgr/y", says: "only one"},
		"quotes, which capabilities cannot carry": {who: `client."x"`, says: "other characters"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := parseTarget(test.who)
			if err != nil && (test.says == "" || !strings.Contains(err.Error(), test.says)) || err == nil && test.says != "" {
				t.Fatalf("got %v, want %q", err, test.says)
			}

			if err == nil && got.String() != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTwoSpellingsAreOneSetting(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ given, want live.Setting }{
		"no section is everything": {
			live.Setting{Name: "mon_max_pg_per_osd"}, live.Setting{Who: "global", Name: "mon_max_pg_per_osd"},
		},
		"dashes, blanks and the order of masks": {
			live.Setting{Who: "osd/class:ssd/host:n1", Name: " osd-max backfills "},
			live.Setting{Who: "osd/host:n1/class:ssd", Name: "osd_max_backfills"},
		},
		"letters keep their case": {
			live.Setting{Who: "mon", Name: "Mon_Max"}, live.Setting{Who: "mon", Name: "Mon_Max"},
		},
		"a module's option keeps its name": {
			live.Setting{Who: "mgr", Name: "mgr/cephadm/some-option"}, live.Setting{Who: "mgr", Name: "mgr/cephadm/some-option"},
		},
		"what is wrong stays for all to see": {
			live.Setting{Who: "osd.*", Name: "osd_max_backfills"}, live.Setting{Who: "osd.*", Name: "osd_max_backfills"},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := Normalise(test.given)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(got, Normalise(got)); diff != "" {
				t.Errorf("twice is not as once (-once +twice):\n%s", diff)
			}
		})
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"global", "osd/class:ssd/host:n1", "client.rgw.a", "osd.*", "mon.a/", "::/.", ""} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, who string) {
		got, err := parseTarget(who)
		if err != nil {
			return
		}

		again, err := parseTarget(got.String())
		if err != nil || again != got {
			t.Errorf("%q is %q, which is %q and %v", who, got, again, err)
		}
	})
}
