package live_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// bytesOf draws a text of any bytes.
func bytesOf(t *rapid.T, label string) string {
	return string(rapid.SliceOfN(rapid.Byte(), 0, 24).Draw(t, label))
}

func drawValue(t *rapid.T, label string) live.Value {
	if rapid.Bool().Draw(t, label+" is set") {
		return live.Text(bytesOf(t, label))
	}

	return live.Value{}
}

func drawRecord(t *rapid.T) live.Record {
	r := live.Record{Revision: rapid.Int64().Draw(t, "revision")}

	for range rapid.IntRange(0, 5).Draw(t, "entries") {
		name := func(label string) string { return rapid.StringN(0, 6, -1).Draw(t, label) }

		r.Entries = append(r.Entries, live.Entry{
			Place: live.Place{Store: name("store"), Node: name("node"), Setting: live.Setting{
				Who: name("who"), Database: name("database"), Role: name("role"), Prefix: name("prefix"), Name: name("name"),
				Password: rapid.Bool().Draw(t, "password"),
			}},
			Before: drawValue(t, "before"), Hidden: rapid.Bool().Draw(t, "hidden"), Text: bytesOf(t, "text"),
		})
	}

	return r
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)

		text, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}

		got, err := live.DecodeRecord(text)
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	})
}

// Records outlive a version: what this one writes, the next one reads.
func TestTheFormOfARecordStays(t *testing.T) {
	t.Parallel()

	record := live.Record{Revision: 3, Entries: []live.Entry{
		{
			Place:  live.Place{Store: "db", Node: "n", Setting: live.Setting{Who: "w", Database: "d", Role: "r", Prefix: "p", Name: "s"}},
			Before: live.Text("\x00\xff"), Text: "new",
		},
		{Place: password("app"), Hidden: true, Text: ""},
		{Place: place("a"), Before: live.Text(""), Text: "7"},
	}}

	const form = `{"revision":3,"entries":[` +
		`{"store":"db","node":"n","who":"w","database":"d","role":"r","prefix":"p","name":"s","before":"AP8=","value":"bmV3"},` +
		`{"store":"db","role":"app","password":true,"hidden":true,"value":""},` +
		`{"store":"db","name":"a","before":"","value":"Nw=="}]}`

	text, err := record.Encode()
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(form, string(text)); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}

	for name, text := range map[string]string{
		"as it is":                          form,
		"with what a later version may add": strings.Replace(form, `"revision":3`, `"revision":3,"later":{"x":[1]}`, 1),
	} {
		got, err := live.DecodeRecord([]byte(text))
		if diff := cmp.Diff(record, got); err != nil || diff != "" {
			t.Errorf("%s: %v, record (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestWhatIsNoRecordIsRefusedWithoutASecret(t *testing.T) {
	t.Parallel()

	const secret = "hunter2"

	for name, text := range map[string]string{
		"nothing":                         "",
		"a text":                          `"hunter2"`,
		"a text without quotes":           `hunter2`,
		"a list":                          `["hunter2"]`,
		"a record that was cut off":       `{"revision":1,"entries":[{"store":"db","value":"hunter2`,
		"a value that is not base64":      `{"revision":1,"entries":[{"store":"db","value":"hunter2!"}]}`,
		"a value before that is not":      `{"revision":1,"entries":[{"store":"db","before":"hunter2!"}]}`,
		"a value that is a number":        `{"revision":1,"entries":[{"store":"db","value":4711}]}`,
		"a revision that is a text":       `{"revision":"hunter2"}`,
		"a revision that is out of range": `{"revision":47110000000000000000000}`,
		"entries that are none":           `{"revision":1,"entries":"hunter2"}`,
		"something after the record":      `{"revision":1} hunter2`,
		"a flag that is a text":           `{"revision":1,"entries":[{"store":"db","hidden":"hunter2"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := live.DecodeRecord([]byte(text))
			if err == nil {
				t.Fatalf("read as %+v", got)
			}

			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "4711") {
				t.Errorf("the error tells the content: %v", err)
			}

			if diff := cmp.Diff(live.Record{}, got); diff != "" {
				t.Errorf("with the error comes a record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANameThatWouldBeReadAsAnotherIsNotRecorded(t *testing.T) {
	t.Parallel()

	const bad = "a\xffb"

	for name, setting := range map[string]live.Setting{
		"section": {Who: bad}, "database": {Database: bad}, "role": {Role: bad, Password: true}, "prefix": {Prefix: bad}, "name": {Name: bad},
	} {
		text, err := live.Record{Revision: 4, Entries: []live.Entry{{Place: live.Place{Store: "db", Setting: setting}}}}.Encode()
		if err == nil {
			t.Errorf("%s: written as %s", name, text)

			continue
		}

		if want := "encode revision 4: the name of a setting of LiveStore db is not UTF-8"; err.Error() != want {
			t.Errorf("%s: got %q, want %q", name, err, want)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, seed := range []string{
		"", "null", "{}", `{"revision":1,"entries":null}`, `{"entries":[{}]}`, `{"entries":[{"before":null,"value":null}]}`,
		`{"revision":2,"entries":[{"store":"db","node":"n","who":"w","role":"r","password":true,"before":"AA==","hidden":true,"value":"bmV3"}]}`,
		`{"revision":1,"entries":[{"store":"db","name":"\ud800","value":"Nw=="}]}`,
		`{"entries":[{"Before":"0"}]}`,
	} {
		f.Add([]byte(seed))
	}

	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := live.DecodeRecord(text)
		if err != nil {
			// It says what kind of error it is, and nothing of what was read.
			if !strings.HasPrefix(err.Error(), "decode a revision: ") || strings.ContainsAny(err.Error(), "\"'{}\\") {
				t.Errorf("the error is %q", err)
			}

			return
		}

		written, err := first.Encode()
		if err != nil {
			t.Fatal(err)
		}

		second, err := live.DecodeRecord(written)
		if diff := cmp.Diff(first, second, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v, record (-first +second):\n%s", err, diff)
		}
	})
}

func TestFind(t *testing.T) {
	t.Parallel()

	r := live.Record{Entries: []live.Entry{
		{Place: place("a"), Text: "1"}, {Place: on("db", "n", "a"), Text: "2"}, {Place: live.Place{Store: "db", Setting: live.Setting{Role: "a"}}, Text: "3"},
	}}

	cases := map[string]struct {
		place live.Place
		want  string
		found bool
	}{
		"what is there":                             {place("a"), "1", true},
		"the same setting at another node":          {on("db", "n", "a"), "2", true},
		"the same setting in another store":         {on("cache", "", "a"), "", false},
		"a role is not the password of that role":   {password("a"), "", false},
		"what has another name":                     {place("b"), "", false},
		"the same name in the scope of a database":  {live.Place{Store: "db", Setting: live.Setting{Database: "d", Name: "a"}}, "", false},
		"the same name in a section":                {live.Place{Store: "db", Setting: live.Setting{Who: "mon", Name: "a"}}, "", false},
		"the same name with a prefix that is empty": {live.Place{Store: "db", Setting: live.Setting{Prefix: "", Name: "a"}}, "1", true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, found := r.Find(tc.place)
			if found != tc.found || got.Text != tc.want {
				t.Errorf("got %q, %v; want %q, %v", got.Text, found, tc.want, tc.found)
			}
		})
	}
}

func TestTheNextRecord(t *testing.T) {
	t.Parallel()

	a, b, c := place("a"), place("b"), place("c")
	last := live.Record{Revision: 1, Entries: []live.Entry{
		{Place: a, Before: live.Text("1"), Text: "2"}, {Place: c, Before: live.Text("5"), Text: "6"},
	}}

	cases := map[string]struct {
		last  live.Record
		wants []live.Want
		adopt []live.Entry
		want  []live.Entry
	}{
		"nothing is asked for": {last: last},
		"what was ours keeps what was there before it": {
			last: last, wants: []live.Want{want(a, "3")},
			want: []live.Entry{{Place: a, Before: live.Text("1"), Text: "3"}},
		},
		"what was ours keeps it also if it is adopted once more": {
			last: last, wants: []live.Want{want(a, "3")}, adopt: []live.Entry{{Place: a, Before: live.Text("2"), Text: "3"}},
			want: []live.Entry{{Place: a, Before: live.Text("1"), Text: "3"}},
		},
		"what is adopted has what is there now": {
			last: last, wants: []live.Want{want(b, "3")}, adopt: []live.Entry{{Place: b, Before: live.Text("x"), Text: "3"}},
			want: []live.Entry{{Place: b, Before: live.Text("x"), Text: "3"}},
		},
		"what is adopted and had nothing": {
			wants: []live.Want{want(b, "3")}, adopt: []live.Entry{{Place: b, Text: "3"}},
			want: []live.Entry{{Place: b, Text: "3"}},
		},
		"of what is in neither nobody knows what was there": {
			wants: []live.Want{want(b, "3")},
			want:  []live.Entry{{Place: b, Hidden: true, Text: "3"}},
		},
		"the entries are in the order of the wants": {
			last: last, wants: []live.Want{want(c, "3"), want(a, "4")},
			want: []live.Entry{{Place: c, Before: live.Text("5"), Text: "3"}, {Place: a, Before: live.Text("1"), Text: "4"}},
		},
		"what is adopted and not asked for is not recorded": {
			wants: []live.Want{want(b, "3")}, adopt: []live.Entry{{Place: b, Text: "3"}, {Place: c, Text: "4"}},
			want: []live.Entry{{Place: b, Text: "3"}},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := tc.last.Next(7, tc.wants, tc.adopt)
			if diff := cmp.Diff(live.Record{Revision: 7, Entries: tc.want}, got); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARecordWithOtherEntries(t *testing.T) {
	t.Parallel()

	a, b := place("a"), place("b")
	r := live.Record{Revision: 2, Entries: make([]live.Entry, 0, 8)} // with room: an append would show in the original
	r.Entries = append(r.Entries, live.Entry{Place: a, Before: live.Text("1"), Text: "2"})

	got := r.With([]live.Entry{{Place: a, Text: "9"}, {Place: b, Text: "3"}, {Place: b, Text: "4"}})
	want := live.Record{Revision: 2, Entries: []live.Entry{{Place: a, Before: live.Text("1"), Text: "2"}, {Place: b, Text: "3"}}}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}

	if r := r.Entries[:2]; r[1].Text != "" {
		t.Error("the original has changed")
	}

	if diff := cmp.Diff(r, r.With(nil)); diff != "" {
		t.Errorf("with nothing it is another one (-want +got):\n%s", diff)
	}
}

// Whatever comes, the first record of a place says what was there before it, and no later one says otherwise.
func TestWhatWasThereBeforeIsRecordedOnce(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		var r live.Record

		first := map[live.Place]live.Value{}

		for revision := range rapid.Int64Range(1, 6).Draw(t, "revisions") {
			var (
				wants []live.Want
				adopt []live.Entry
			)

			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID).Draw(t, "wants") {
				p := place(name)
				wants = append(wants, want(p, bytesOf(t, "text")))

				if _, ours := r.Find(p); ours && rapid.Bool().Draw(t, "adopted again") || !ours {
					adopt = append(adopt, live.Entry{Place: p, Before: drawValue(t, "before")})
				}
			}

			keep := rapid.Bool().Draw(t, "keep the rest")
			next := r.Next(revision, wants, adopt)

			if keep {
				next = next.With(r.Entries)
			}

			for _, e := range next.Entries {
				if _, ours := r.Find(e.Place); !ours {
					first[e.Place] = e.Before
				}

				if e.Before != first[e.Place] {
					t.Errorf("before %s there was %v, and now it is recorded as %v", e.Place, first[e.Place], e.Before)
				}
			}

			r = next
		}
	})
}

func TestOfNodesThatAreGoneTheFirstAreKeptWhole(t *testing.T) {
	t.Parallel()

	var first, later []live.Entry

	for _, setting := range []string{"maxmemory", "maxmemory-samples"} {
		for i := range 300 {
			e := live.Entry{Place: on("cache", fmt.Sprintf("gone-%d:6379", i), setting), Text: strconv.Itoa(i)}
			if i < 256 {
				first = append(first, e)
			} else {
				later = append(later, e)
			}
		}

		first = append(first, live.Entry{Place: on("cache", "10.0.1.0:6379", setting), Text: "there"}, live.Entry{Place: place("a"), Text: "other"})
	}

	entries := slices.Concat(first[:258], later, first[258:])
	kept := live.Recent(entries, func(n live.Node) bool { return strings.HasPrefix(n.Name, "gone-") })

	if diff := cmp.Diff(first, kept); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if all := live.Recent(entries, func(live.Node) bool { return false }); len(all) != len(entries) {
		t.Errorf("%d of %d are kept, and none is gone", len(all), len(entries))
	}
}
