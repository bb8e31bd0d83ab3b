package ceph

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
)

func TestJudge(t *testing.T) {
	t.Parallel()

	const (
		runtime = `{"name":"o","type":"int","default":250,"min":"","max":"","can_update_at_runtime":true}`
		start   = `{"name":"o","type":"int","default":250,"daemon_default":300,"min":"","max":""}`
	)

	at := func(section, mask string) place { return place{section, mask, "o"} }
	stored := func(places ...place) dump {
		d := dump{}
		for _, p := range places {
			d[p] = entry{text: "1"}
		}

		return d
	}
	cases := map[string]struct {
		schema string // runtime when empty
		who    string
		stored live.Value
		dump   dump
		// views are the levels of o, by monitor.
		views map[string]levels
		want  verdict
	}{
		"nobody can be asked": {who: "global", stored: live.Text("1"), dump: stored(at("global", ""))},
		"it runs, in the form of the database": {
			who: "global", stored: live.Text("1"), dump: stored(at("global", "")),
			views: map[string]levels{"a": {"default": "250", "mon": "01", "final": "01"}},
			want:  verdict{running: live.Text("1")},
		},
		"nothing is set and the default runs": {
			who: "mon", dump: stored(), views: map[string]levels{"a": {}}, want: verdict{running: live.Text("250")},
		},
		"a daemon has a default of its own": {
			schema: start, who: "mon", dump: stored(), views: map[string]levels{"a": {}}, want: verdict{running: live.Text("300")},
		},
		"a file outranks it": {
			who: "global", stored: live.Text("1"), dump: stored(at("global", "")),
			views: map[string]levels{"a": {"mon": "1", "file": "2", "final": "2"}},
			want:  verdict{running: live.Text("2"), shadowedBy: "the configuration file of mon.a"},
		},
		"an override outranks even the command line": {
			who: "mon.a", stored: live.Text("1"), dump: stored(at("mon.a", "")),
			views: map[string]levels{"a": {"mon": "1", "file": "2", "cmdline": "3", "override": "4", "final": "4"}},
			want:  verdict{running: live.Text("4"), shadowedBy: "a setting made at run time in mon.a"},
		},
		"a file that says the same outranks nothing": {
			who: "global", stored: live.Text("1"), dump: stored(at("global", "")),
			views: map[string]levels{"a": {"mon": "1", "file": "1", "final": "1"}},
			want:  verdict{running: live.Text("1")},
		},
		"one of two monitors is another": {
			who: "mon", stored: live.Text("1"), dump: stored(at("mon", "")),
			views: map[string]levels{"a": {"mon": "1", "final": "1"}, "b": {"mon": "1", "env": "2", "final": "2"}},
			want:  verdict{running: live.Text("2"), shadowedBy: "the environment of mon.b"},
		},
		"another monitor does not matter": {
			who: "mon.a", stored: live.Text("1"), dump: stored(at("mon.a", "")),
			views: map[string]levels{"a": {"mon": "1", "final": "1"}, "b": {"cmdline": "2", "final": "2"}},
			want:  verdict{running: live.Text("1")},
		},
		"it has not arrived yet": {
			who: "global", stored: live.Text("1"), dump: stored(at("global", "")),
			views: map[string]levels{"a": {"mon": "0", "final": "0"}},
			want:  verdict{running: live.Text("0"), lagging: true},
		},
		"it has not arrived at all yet": {
			who: "global", stored: live.Text("1"), dump: stored(at("global", "")),
			views: map[string]levels{"a": {}}, want: verdict{running: live.Text("250"), lagging: true},
		},
		"that it is gone has not arrived yet": {
			who: "global", dump: stored(), views: map[string]levels{"a": {"mon": "1", "final": "1"}},
			want: verdict{running: live.Text("1"), lagging: true},
		},
		"it is gone here and there elsewhere": {
			who: "mon", dump: stored(at("global", "")), views: map[string]levels{"a": {"mon": "1", "final": "1"}},
			want: verdict{running: live.Text("1")},
		},
		"it is for the start of others": {
			schema: start, who: "global", stored: live.Text("1"), dump: stored(at("global", "")),
			views: map[string]levels{"a": {}},
		},
		"it is for the start of monitors, which have no database then": {
			schema: start, who: "mon", stored: live.Text("1"), dump: stored(at("mon", "")),
			views: map[string]levels{"a": {}},
			want: verdict{
				running:    live.Text("300"),
				shadowedBy: "mon.a itself, which takes this option from its configuration file alone, at its start",
			},
		},
		"a start would not help": {
			schema: start, who: "global", stored: live.Text("1"), dump: stored(at("global", "")),
			views: map[string]levels{"a": {"file": "2", "final": "2"}},
			want:  verdict{running: live.Text("2"), shadowedBy: "the configuration file of mon.a"},
		},
		"a narrower section decides for the monitor": {
			who: "global", stored: live.Text("1"), dump: stored(at("global", ""), at("mon", "")),
			views: map[string]levels{"a": {"mon": "2", "final": "2"}},
		},
		"a mask may decide for the monitor": {
			who: "mon", stored: live.Text("1"), dump: stored(at("mon", ""), at("mon", "host:n1")),
			views: map[string]levels{"a": {"mon": "2", "final": "2"}},
		},
		"a section of somebody else decides nothing": {
			who: "global", stored: live.Text("1"), dump: stored(at("global", ""), at("osd", ""), at("mon.b", "")),
			views: map[string]levels{"a": {"mon": "1", "final": "1"}},
			want:  verdict{running: live.Text("1")},
		},
		"monitors know nothing of others": {
			who: "osd", stored: live.Text("1"), dump: stored(at("osd", "")), views: map[string]levels{"a": {}},
		},
		"nor of masks": {
			who: "mon/host:n1", stored: live.Text("1"), dump: stored(at("mon", "host:n1")), views: map[string]levels{"a": {}},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if test.schema == "" {
				test.schema = runtime
			}

			who, err := parseTarget(test.who)
			if err != nil {
				t.Fatal(err)
			}

			var views []view

			for _, monitor := range []string{"a", "b"} {
				if option, asked := test.views[monitor]; asked {
					v := view{monitor: monitor, options: map[string]levels{}}
					if len(option) > 0 {
						v.options["o"] = option
					}

					views = append(views, v)
				}
			}

			got := judge(who, schemaOf(t, test.schema), mustRule(t, test.schema), test.stored, test.dump, views)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
