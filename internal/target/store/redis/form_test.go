package redis

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestWhatIsSetAndWhatIsShownAreTheSame(t *testing.T) {
	t.Parallel()
	s := openAt(t, stores.OwnRedis(t, own()))
	// What is set, and another value, which must not be taken for it.
	cases := map[string][][2]string{
		"maxmemory": {
			{"1gb", "1g"}, {"1GB", "1gb1"}, {"1g", "1gb"}, {"1k", "1kb"}, {"1kb", "1024kb"}, {"01m", "1mb"}, {"100b", "101"}, {"18446744073709551615", "0"},
		},
		"maxmemory-clients":          {{"5%", "5"}, {"0%", "1%"}, {"100%", "99%"}, {"1gb", "1%"}, {"0", "1"}},
		"client-query-buffer-limit":  {{"2mb", "2m"}},
		"hz":                         {{"11", "12"}, {"500", "499"}},
		"slowlog-log-slower-than":    {{"-1", "1"}},
		"activerehashing":            {{"NO", "yes"}, {"yes", "no"}},
		"maxmemory-policy":           {{"ALLKEYS-LRU", "allkeys-lfu"}, {"noeviction", "volatile-lru"}},
		"appendfsync":                {{"Always", "everysec"}},
		"loglevel":                   {{"WARNING", "notice"}},
		"oom-score-adj":              {{"relative", "absolute"}, {"YES", "no"}, {"no", "relative"}},
		"shutdown-on-sigterm":        {{"now save", "save"}, {"SAVE", "nosave"}, {"default save", "default"}, {"default", "save"}, {"force nosave now", "force nosave"}},
		"save":                       {{"900 1 300 10", "300 10 900 1"}, {"", "900 1"}, {"60 0", "60 1"}},
		"oom-score-adj-values":       {{"5 6 7", "0 6 7"}},
		"notify-keyspace-events":     {{"KEA", "KE"}, {"KEg$lshzxetd", "KEA" + "m"}, {"Kn", "K"}, {"", "A"}, {"EEK", "E"}, {"xeK", "xK"}},
		"client-output-buffer-limit": {{"normal 1kb 1K 5", "normal 1kb 1kb 5"}, {"REPLICA 1gb 64mb 60 pubsub 1mb 2mb 10", "slave 1gb 64mb 61"}, {"normal 0 0 0", "normal 0 0 1"}},
		"latency-tracking-info-percentiles": {
			{"50 99.0 99.90", "50 99"}, {"", "50"}, {"0.1 0.10", "0.1"}, {"99 50", "50 99"},
		},
		"cluster-announce-hostname": {{"A.b-1", "a.b-1"}},
		"replica-announce-ip":       {{"10.0.0.1", "10.0.0.2"}, {"ä ö", "a o"}, {"", "x"}},
		"proc-title-template":       {{"{title}  x", "{title} x"}},
	}
	for name, values := range cases {
		for _, value := range values {
			state := read(t, s, named(name))[0]
			if err := state.Rule.Check(value[0]); err != nil {
				t.Errorf("%s %q is not accepted: %v", name, value[0], err)
			}
			apply(t, s, to(name, value[0]))
			state = read(t, s, named(name))[0]
			if !state.Rule.Same(state.Stored.Text, value[0]) {
				t.Errorf("%s %q is shown as %q, which is not taken for the same", name, value[0], state.Stored.Text)
			}
			if state.Rule.Same(state.Stored.Text, value[1]) {
				t.Errorf("%s %q is shown as %q, which is taken for %q", name, value[0], state.Stored.Text, value[1])
			}
			// What is shown can be set, for the way back.
			apply(t, s, []live.Change{{Setting: named(name), To: state.Stored, Raw: true}})
			if got := read(t, s, named(name))[0].Stored; got != state.Stored {
				t.Errorf("%s: %q was put back and is %q", name, state.Stored.Text, got.Text)
			}
		}
	}
}

func TestWhatWouldBeMadeAnotherValueIsRefused(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{
		"maxmemory":                  {"", "gb", "99999999999999gb", "18446744073709551616", "-1", "1.5gb", "1tb", " 1", "1 ", "1\x00"},
		"maxmemory-clients":          {"101%", "05%", "-5%", "%", "5 %", "18446744073709551615"},
		"hz":                         {"0", "501", "1000", "010", "+1", "1.0", ""},
		"repl-backlog-size":          {"1", "16383", "1kb"},
		"client-output-buffer-limit": {"", "normal", "normal 0 0", "normal 0 0 99999999999", "normal 99999999999999gb 0 0", "master 0 0 0", "normal 0 0 -1", "normal  0 0 0"},
		"save":                       {"900", "0 1", "900 1 ", "99999999999999999999 1", "900 99999999999", "900 -1", "+900 1"},
		"shutdown-on-sigterm":        {"", "save nosave", "later", "save  now"},
		"notify-keyspace-events":     {"K E", "Z", "KE\n"},
		"latency-tracking-info-percentiles": {
			"0x10", "1e1", "101", "-1", "nan", "50  99", "99.1234567",
		},
		"oom-score-adj-values":      {"0 0", "0 0 2001", "0 0 0 0", ""},
		"activerehashing":           {"true", "1", "on", ""},
		"maxmemory-policy":          {"lru", "allkeys-lru ", ""},
		"cluster-announce-hostname": {"a_b", "é", strings.Repeat("a", 256)},
		"replica-announce-ip":       {"a\x00b"},
		"never-heard-of":            {"a\x00b"},
	}
	s := &session{forms: known()}
	for name, texts := range cases {
		r := s.rule(name, server{name: "redis", version: "7.0.15", major: 7})
		for _, text := range texts {
			if err := r.Check(text); err == nil {
				t.Errorf("%s takes %q", name, text)
			} else if len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Errorf("%s says its value: %v", name, err)
			}
		}
	}
}

func TestAServerThatIsNewerIsLeftTheLastWord(t *testing.T) {
	t.Parallel()
	s := &session{forms: known()}
	for name, c := range map[string]struct {
		name, text string
		ok         bool
	}{
		"a word that came later":                 {"maxmemory-policy", "allkeys-lrm", true},
		"a range that became wider":              {"active-expire-effort", "11", true},
		"a class of events that came later":      {"notify-keyspace-events", "KEo", true},
		"a parameter that came later":            {"io-threads-more", "whatever", true},
		"a number that is none":                  {"active-expire-effort", "eleven", false},
		"a size that it would make another one":  {"maxmemory", "99999999999999gb", false},
		"a text of which it would keep a part":   {"replica-announce-ip", "a\x00b", false},
		"a switch that is neither on nor off":    {"activedefrag", "maybe", false},
		"events that are no classes at all":      {"notify-keyspace-events", "K E", false},
		"a limit that is left out in the middle": {"client-output-buffer-limit", "normal 0 0", false},
	} {
		for _, version := range []server{{name: "redis", major: 8}, {name: "redis", major: 7, minor: 2}, {name: "valkey", major: 7}} {
			if err := s.rule(c.name, version).Check(c.text); (err == nil) != c.ok {
				t.Errorf("%s, %+v: got %v", name, version, err)
			}
		}
	}
}

func TestAParameterThatIsNotKnownIsGuessedFromWhatIsShown(t *testing.T) {
	t.Parallel()
	r := rule{form: unknown{}}
	for name, c := range map[string]struct {
		have, want string
		same       bool
	}{
		"a switch":                   {"yes", "YES", true},
		"the other way":              {"yes", "no", false},
		"a size":                     {"1073741824", "1gb", true},
		"another size":               {"1073741824", "1g", false},
		"a number":                   {"10", "10", true},
		"a text":                     {"a b", "a b", true},
		"a text in other letters":    {"a", "A", false},
		"a size that is too large":   {"0", "18446744073709551616", false},
		"a size of a text with zero": {"01", "1", false},
	} {
		if got := r.Same(c.have, c.want); got != c.same {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// What Check takes the real server takes, and shows as the same. The texts are made of what values are made of.
func TestWhatIsTakenHereIsTakenThereAndShownAsTheSame(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	taken := 0
	for name := range s.forms {
		if !triable(name) || slices.Contains(sideEffects(), name) {
			continue
		}
		state := read(t, s, named(name))[0]
		for range 200 {
			text := someValue(dice, state.Stored.Text)
			if state.Rule.Check(text) != nil {
				continue
			}
			taken++
			if err := s.Apply(t.Context(), to(name, text)); err != nil {
				t.Fatalf("%s %q was taken here: %v", name, text, err)
			}
			if shown := stored(t, s, name); !state.Rule.Same(shown, text) {
				t.Fatalf("%s %q is shown as %q", name, text, shown)
			}
		}
		apply(t, s, to(name, state.Stored.Text))
	}
	if taken < 1000 {
		t.Errorf("only %d values were taken: the test shows little", taken)
	}
}

// sideEffects are parameters whose values depend on more than their text: defragmentation on how the server was
// built, the title on a template, how many clients on the operating system; and those that would write files or go down
// with the test.
func sideEffects() []string {
	return []string{"activedefrag", "proc-title-template", "maxclients", "appendonly", "save", "jemalloc-bg-thread"}
}

// someValue is a text that may well be a value.
func someValue(dice *rand.Rand, shown string) string {
	pieces := []string{
		"yes", "no", "NO", "0", "1", "16", "100", "99", "-1", "65535", "2147483647", "9223372036854775807", "1gb", "64mb", "16kb", "1k",
		"5%", "100%", "allkeys-lru", "ALWAYS", "debug", "relative", "save", "nosave", "force", "now", "KEA", "g$l", "normal", "replica", "pubsub",
		"99.9", "50", "abc", "a.b", "ip", "hostname", "ignore", "panic", "swapdb", "disabled", "clients", "noeviction", "é", shown,
		"010", "+1", "1.5gb", "x", "",
	}
	n := 1
	if dice.IntN(3) == 0 {
		n = 1 + dice.IntN(8)
	}
	words := make([]string, n)
	for i := range words {
		words[i] = pieces[dice.IntN(len(pieces))]
	}

	return strings.Join(words, []string{" ", " ", ""}[dice.IntN(3)])
}

func TestSizesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n")
		name := rapid.SampledFrom([]string{"", "b", "k", "kb", "m", "mb", "g", "gb", "KB", "Gb"}).Draw(t, "unit")
		unit, _ := unitOf(name)
		got, ok := size(uintText(n) + name)
		if fits := n <= math.MaxUint64/unit; ok != fits || ok && got != n*unit {
			t.Fatalf("%d%s: got %d, %t", n, name, got, ok)
		}
	})
}

func FuzzATextIsTheSameAsItselfAlone(f *testing.F) {
	f.Add("maxmemory", "1gb")
	f.Add("save", "900 1")
	f.Add("client-output-buffer-limit", "normal 0 0 0")
	f.Add("notify-keyspace-events", "KEA")
	f.Add("latency-tracking-info-percentiles", "50 99.9")
	s := &session{forms: known()}
	f.Fuzz(func(t *testing.T, name, text string) {
		r := s.rule(name, server{name: "redis", major: 7})
		err := r.Check(text)
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Error("a refusal says nothing")
		}
		if !r.Same(text, text) {
			t.Error("a text is not the same as itself")
		}
		if r.Same(text, text+"\x00") {
			t.Error("a text is the same as one with more in it")
		}
	})
}
