package redis

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestASettingIsReadWithWhatCanBeDoneAboutIt(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	cases := map[string]struct {
		setting live.Setting
		cause   live.Cause
		text    string
		rule    bool
	}{
		"an ordinary one":                 {named("maxmemory-policy"), "", "noeviction", true},
		"in upper case":                   {named("MAXMEMORY-POLICY"), "", "noeviction", true},
		"by a former name":                {named("slave-priority"), "", "100", true},
		"none":                            {named("no-such-parameter"), live.CauseUnknown, "", false},
		"a pattern is none":               {named("max*"), live.CauseUnknown, "", false},
		"no name":                         {named(""), live.CauseUnknown, "", false},
		"one of the start":                {named("databases"), live.CauseFixed, "16", false},
		"another one of the start":        {named("daemonize"), live.CauseFixed, "no", false},
		"the log's file":                  {named("logfile"), live.CauseFixed, "", false},
		"a protected one":                 {named("dbfilename"), live.CauseFixed, "dump.rdb", false},
		"dangerous and of the start":      {named("replicaof"), live.CauseFixed, "", false},
		"a dangerous one":                 {named("requirepass"), live.CauseDangerous, "", true},
		"another dangerous one":           {named("tls-port"), live.CauseDangerous, "0", true},
		"of a role":                       {live.Setting{Name: "hz", Role: "app"}, live.CauseUnknown, "", false},
		"of a database":                   {live.Setting{Name: "hz", Database: "1"}, live.CauseUnknown, "", false},
		"of a section":                    {live.Setting{Name: "hz", Who: "global"}, live.CauseUnknown, "", false},
		"below a prefix":                  {live.Setting{Name: "hz", Prefix: "a/"}, live.CauseUnknown, "", false},
		"a password of nobody":            {user(""), live.CauseUnknown, "", false},
		"a password of who there is not":  {user("nobody"), live.CauseUnknown, "", false},
		"the password of who has no name": {user("default"), live.CauseDangerous, noPassword, true},
	}
	names := slices.Sorted(maps.Keys(cases))
	var settings []live.Setting
	for _, name := range names {
		settings = append(settings, cases[name].setting)
	}
	before := all(t, r)
	for range 2 { // the second time what can be set is known already
		for i, state := range read(t, s, settings...) {
			c := cases[names[i]]
			cause := live.Cause("")
			if state.Problem != nil {
				cause = state.Problem.Cause
			}
			if cause != c.cause || state.Stored.Text != c.text || (state.Rule != nil) != c.rule || state.Setting != c.setting ||
				state.Running != state.Stored {
				t.Errorf("%s: got %+v with the problem %+v", names[i], state, state.Problem)
			}
		}
	}
	if diff := cmp.Diff(before, all(t, r)); diff != "" {
		t.Errorf("reading changed something:\n%s", diff)
	}
}

func TestNothingIsReadWithoutSettings(t *testing.T) {
	t.Parallel()
	s := openAt(t, stores.Redis(t))
	if states := read(t, s); len(states) != 0 {
		t.Errorf("got %v", states)
	}
	apply(t, s, nil)
	if err := s.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestAChangeIsMadeAsAWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for name, c := range map[string]struct {
		changes []live.Change
		refused string // the setting
		says    string
		// late: the server finds out only by acting, so that nothing tells beforehand.
		late bool
	}{
		"a word that there is not": {changes: to("maxmemory", "1gb", "maxmemory-policy", "xyzzy", "hz", "11"), refused: "maxmemory-policy", says: "takes one of volatile-lru"},
		"no number":                {changes: to("hz", "11", "timeout", "xyzzy"), refused: "timeout", says: "takes a whole number"},
		"out of range":             {changes: to("hz", "11", "active-expire-effort", "77"), refused: "active-expire-effort", says: "takes 1 to 10"},
		"no size":                  {changes: to("hz", "11", "maxmemory", "xyzzy"), refused: "maxmemory", says: "takes a number of bytes"},
		"no percentage":            {changes: to("hz", "11", "maxmemory-clients", "xyzzy"), refused: "maxmemory-clients", says: "or a percentage"},
		"neither yes nor no":       {changes: to("hz", "11", "activerehashing", "xyzzy"), refused: "activerehashing", says: "takes yes or no"},
		"no such parameter":        {changes: to("hz", "11", "no-such-parameter", "xyzzy"), refused: "no-such-parameter", says: "is no parameter"},
		"one of the start":         {changes: to("hz", "11", "databases", "xyzzy"), refused: "databases", says: "can only be set at the server's start"},
		"a protected one":          {changes: to("hz", "11", "enable-debug-command", "xyzzy"), refused: "enable-debug-command", says: "can only be set", late: true},
		"twice the same":           {changes: to("hz", "11", "HZ", "12"), refused: "hz", says: "is given twice"},
		"a port in use":            {changes: to("hz", "11", "maxmemory", "1gb", "port", port), refused: "port", says: "cannot listen", late: true},
		"more clients than there can be": {
			changes: to("hz", "11", "maxclients", "2000000"), refused: "maxclients", says: "more than the operating system lets", late: true,
		},
		"a class that there is not": {
			changes: to("hz", "11", "client-output-buffer-limit", "xyzzy 0 0 0"), refused: "client-output-buffer-limit", says: "does not take or cannot act on",
		},
		"to be unset": {changes: append(to("hz", "11"), live.Change{Setting: named("maxmemory")}), refused: "maxmemory", says: "cannot be unset"},
		"of a role":   {changes: append(to("hz", "11"), live.Change{Setting: live.Setting{Name: "timeout", Role: "a"}}), refused: "timeout", says: "is given a role"},
	} {
		before := all(t, r)
		for how, do := range map[string]func(context.Context, []live.Change) error{"check": s.Check, "apply": s.Apply} {
			err := do(t.Context(), c.changes)
			if how == "check" && c.late {
				continue
			}
			refused, ok := errors.AsType[*store.RefusedError](err)
			if !ok || refused.Setting.Name != c.refused || !strings.Contains(refused.Reason, c.says) {
				t.Errorf("%s: %s: got %v", name, how, err)
			}
			if err != nil && (strings.Contains(err.Error(), "xyzzy") || strings.Contains(err.Error(), port)) {
				t.Errorf("%s: %s says the value: %v", name, how, err)
			}
			if diff := cmp.Diff(before, all(t, r)); diff != "" {
				t.Errorf("%s: %s changed something:\n%s", name, how, diff)
			}
		}
	}
	apply(t, s, to("maxmemory", "1gb", "hz", "11"))
	if got := all(t, r); got["maxmemory"] != "1073741824" || got["hz"] != "11" {
		t.Errorf("got %s and %s", got["maxmemory"], got["hz"])
	}
}

func TestACheckTriesEverythingAndChangesNothing(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	before := all(t, r)
	// For each form another value than the default.
	others := map[string]string{
		"client-output-buffer-limit": "normal 1 2 3", "cluster-announce-hostname": "a.b", "latency-tracking-info-percentiles": "1 2",
		"notify-keyspace-events": "KEA", "oom-score-adj-values": "1 2 3", "save": "1 2", "maxclients": "100",
		"proc-title-template": "{listen-addr}", "shutdown-on-sigint": "save now", "shutdown-on-sigterm": "force", "activedefrag": "no", "bind": "127.0.0.1 ::1", "loglevel": "debug", "appendfsync": "no",
	}
	var every []live.Change
	for name, f := range s.forms {
		value, ok := others[name]
		for _, candidate := range []string{"yes", "no", "17", "7", "2097152", "a-text"} {
			if !ok && f.fits(candidate, true) && candidate != before[name] {
				value, ok = candidate, true
			}
		}
		if e, words := f.(enum); words {
			value = e.words[0]
			if value == before[name] {
				value = e.words[1]
			}
		}
		change := live.Change{Setting: named(name), To: live.Text(value)}
		if err := s.Check(t.Context(), []live.Change{change}); err != nil {
			t.Errorf("%s %s: %v", name, value, err)
		}
		every = append(every, change)
	}
	// All parameters of which noValue is none are in it, so it cannot be asked: that must not be taken for a yes by being set.
	if err := s.Check(t.Context(), every); err != nil {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, all(t, r)); diff != "" {
		t.Errorf("a check changed something:\n%s", diff)
	}
	every = slices.DeleteFunc(every, func(c live.Change) bool { return c.Setting.Name == "loglevel" })
	if err := s.Check(t.Context(), every); err != nil {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, all(t, r)); diff != "" {
		t.Errorf("a check changed something:\n%s", diff)
	}
}

func TestBefore7EachParameterIsACommandOfItsOwn(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	read(t, s, named("hz"))
	s.server.major = 6 // a real one is not to be had here; the commands are those of 6
	if err := s.Apply(t.Context(), to("hz", "11", "timeout", "no number", "maxmemory", "1gb")); err == nil {
		t.Error("it was taken")
	}
	if got := all(t, r); got["hz"] != "11" || got["maxmemory"] != "0" {
		t.Errorf("got %s and %s, want what came before the refusal", got["hz"], got["maxmemory"])
	}
	states := read(t, s, named("hz"), named("hash-max-listpack-value"), named("no-such-parameter"))
	if states[0].Stored.Text != "11" || states[1].Stored.Text != "64" || states[2].Problem == nil {
		t.Errorf("got %+v", states)
	}
	if err := s.Check(t.Context(), to("timeout", "no number")); err != nil {
		t.Errorf("got %v, though such a server cannot be asked", err)
	}
}

func TestWhatIsPersistedIsThereAfterACrash(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options localstore.RedisOptions
		with    []func(*store.Target)
		hz      string
		kept    bool
	}{
		"with persist":               {localstore.RedisOptions{ConfigFile: true}, []func(*store.Target){persist}, "11", true},
		"without":                    {localstore.RedisOptions{ConfigFile: true}, nil, "10", false},
		"with persist, users' file ": {localstore.RedisOptions{ConfigFile: true, UsersFile: true}, []func(*store.Target){persist}, "11", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := stores.OwnRedis(t, c.options)
			raw(t, r, "ACL", "SETUSER", "app", "on", ">first", "~*", "+get")
			s := openAt(t, r, c.with...)
			if err := s.Check(t.Context(), to("hz", "11")); err != nil {
				t.Fatal(err)
			}
			mark := probe(t, s)
			apply(t, s, append(to("hz", "11"), live.Change{Setting: user("app"), To: live.Text("second")}))
			if after := probe(t, s); after == mark {
				t.Error("the mark is the same after a change")
			}
			mark = probe(t, s)
			if err := r.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := r.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			// The session heals by itself.
			states := read(t, s, named("hz"), user("app"))
			if states[0].Stored.Text != c.hz || (states[1].Stored.Text == digest("second")) != c.kept {
				t.Errorf("got hz %s and %+v", states[0].Stored.Text, states[1])
			}
			if after := probe(t, s); after == mark {
				t.Error("the mark is the same after a restart")
			}
		})
	}
}

func TestWhatCannotBeKeptIsNotSet(t *testing.T) {
	t.Parallel()
	t.Run("without a file", func(t *testing.T) {
		t.Parallel()
		r := stores.OwnRedis(t, own())
		s := openAt(t, r, persist)
		for _, do := range []func(context.Context, []live.Change) error{s.Check, s.Apply} {
			err := do(t.Context(), to("hz", "11"))
			refused, ok := errors.AsType[*store.RefusedError](err)
			if !ok || !strings.Contains(refused.Reason, "without a configuration file") {
				t.Errorf("got %v", err)
			}
		}
		if got := stored(t, s, "hz"); got != "10" {
			t.Errorf("hz is %s", got)
		}
	})
	t.Run("with a file that cannot be written", func(t *testing.T) {
		t.Parallel()
		r := stores.OwnRedis(t, localstore.RedisOptions{ConfigFile: true})
		s := openAt(t, r, persist)
		apply(t, s, to("hz", "11"))
		// We are root, whom no permissions keep from writing: the file's place is taken by a folder.
		if err := errors.Join(os.Remove(r.ConfigFile()), os.Mkdir(r.ConfigFile(), 0o700)); err != nil {
			t.Fatal(err)
		}
		err := s.Apply(t.Context(), to("hz", "12"))
		refused, ok := errors.AsType[*store.RefusedError](err)
		if !ok || !strings.Contains(refused.Reason, "in force but not kept") {
			t.Errorf("got %v", err)
		}
		if got := stored(t, s, "hz"); got != "12" {
			t.Errorf("hz is %s, want what the error says", got)
		}
		// A session that begins now finds out before it changes anything.
		fresh := openAt(t, r, persist)
		err = fresh.Apply(t.Context(), to("hz", "13"))
		if refused, ok := errors.AsType[*store.RefusedError](err); !ok || !strings.Contains(refused.Reason, "nothing was changed") {
			t.Errorf("got %v", err)
		}
		if got := stored(t, s, "hz"); got != "12" {
			t.Errorf("hz is %s", got)
		}
	})
}

// CONFIG REWRITE writes requirepass in clear, as the guide says: the file is as secret as the password.
func TestTheFileHasRequirepassInClear(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, localstore.RedisOptions{ConfigFile: true})
	s := openAt(t, r, persist)
	apply(t, s, to("requirepass", "quite-secret"))
	text, err := os.ReadFile(r.ConfigFile())
	if err != nil || !strings.Contains(string(text), "quite-secret") {
		t.Errorf("got %s and %v", text, err)
	}
}

func TestNodesHaveSettingsOfTheirOwn(t *testing.T) {
	t.Parallel()
	one, two := openAt(t, stores.OwnRedis(t, own())), openAt(t, stores.OwnRedis(t, own()))
	apply(t, one, to("hz", "11"))
	if a, b := stored(t, one, "hz"), stored(t, two, "hz"); a != "11" || b != "10" {
		t.Errorf("got %s and %s", a, b)
	}
	if Driver().Together {
		t.Error("the endpoints are taken for one store")
	}
	target := one.target
	target.Endpoints = append(target.Endpoints, two.endpoint())
	if _, err := Driver().Open(t.Context(), target); err == nil {
		t.Error("a session with two nodes was opened")
	}
}

func TestOddTextsAreKeptAsTheyAreOrRefused(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, localstore.RedisOptions{ConfigFile: true})
	s := openAt(t, r, persist)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	names := []string{"replica-announce-ip", "masteruser", "masterauth", "cluster-announce-ip"}
	s.target.Persist = false
	refused := 0
	for range 10_000 / len(names) {
		var changes []live.Change
		for _, name := range names {
			changes = append(changes, live.Change{Setting: named(name), To: live.Text(oddText(dice))})
		}
		taken := slices.DeleteFunc(slices.Clone(changes), func(c live.Change) bool {
			return s.rule(c.Setting.Name, s.serverNow()).Check(c.To.Text) != nil
		})
		refused += len(changes) - len(taken)
		apply(t, s, taken)
		var settings []live.Setting
		for _, c := range taken {
			settings = append(settings, c.Setting)
		}
		for i, state := range read(t, s, settings...) {
			if state.Stored != taken[i].To {
				t.Fatalf("%s: %q became %q", taken[i].Setting.Name, taken[i].To.Text, state.Stored.Text)
			}
		}
	}
	if refused == 0 || refused > 5_000 {
		t.Errorf("%d were refused", refused)
	}
	// A few of them through the file.
	s.target.Persist = true
	for _, odd := range []string{"a\nb", `"quoted"`, `back\slash`, "é #;'", " blanks ", "\xff\x01", "${HOME}"} {
		apply(t, s, to("replica-announce-ip", odd, "masterauth", odd))
		if err := errors.Join(r.Kill(), r.Restart(t.Context())); err != nil {
			t.Fatal(err)
		}
		if a, b := stored(t, s, "replica-announce-ip"), stored(t, s, "masterauth"); a != odd || b != odd {
			t.Errorf("%q became %q and %q over a restart", odd, a, b)
		}
	}
}

// oddText is a text of bytes, letters and what is special to some parser.
func oddText(dice *rand.Rand) string {
	pieces := []string{"a", "Z", "0", " ", "\t", "\n", "\r\n", `"`, `'`, `\`, "#", ";", "%s", "${x}", "é", "\u65e5\u672c", "\x7f", "\xff", "\x00", "=", "*", "/../", "--", "\x1b[0m"}
	var b strings.Builder
	for range dice.IntN(12) {
		b.WriteString(pieces[dice.IntN(len(pieces))])
	}
	if dice.IntN(200) == 0 {
		b.WriteString(strings.Repeat("x", dice.IntN(70_000)))
	}

	return b.String()
}

func TestAHundredChangesAtOnceLeaveOneOfThem(t *testing.T) {
	t.Parallel()
	s := openAt(t, stores.OwnRedis(t, own()))
	errs := make(chan error, 100)
	for i := range 100 {
		go func() {
			n := strconv.Itoa(i + 1)
			errs <- s.Apply(t.Context(), to("hz", n, "timeout", n, "replica-priority", n))
		}()
	}
	for range 100 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	states := read(t, s, named("hz"), named("timeout"), named("replica-priority"))
	if states[0].Stored != states[1].Stored || states[1].Stored != states[2].Stored {
		t.Errorf("got %v", states)
	}
}

func TestTheMarkChangesWithEverySettingAndOnlyThen(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	raw(t, r, "ACL", "SETUSER", "app", "on", ">first")
	s := openAt(t, r)
	mark := probe(t, s)
	if again := probe(t, s); again != mark {
		t.Error("it changed by itself")
	}
	for name, change := range map[string]func(){
		"a parameter": func() { raw(t, r, "CONFIG", "SET", "maxmemory", "1gb") },
		"a password":  func() { raw(t, r, "ACL", "SETUSER", "app", ">second") },
	} {
		change()
		after := probe(t, s)
		if after == mark {
			t.Errorf("%s: the mark is the same", name)
		}
		mark = after
	}
	if other := probe(t, openAt(t, r)); other == mark {
		t.Error("marks can be compared by who does not have the session's key")
	}
}

func probe(t testing.TB, s *session) string {
	t.Helper()
	mark, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	return mark
}

func TestTheVersionIsTheServers(t *testing.T) {
	t.Parallel()
	s := openAt(t, stores.Redis(t))
	text, err := s.info(t.Context())
	if err != nil || s.Version() != "Redis "+text["redis_version"] {
		t.Errorf("got %q and %v", s.Version(), err)
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	r := stores.Redis(t)
	sentinel := stores.OwnRedis(t, localstore.RedisOptions{ConfigFile: true, Args: []string{"--sentinel"}})
	for name, c := range map[string]struct {
		target store.Target
		login  bool
		says   string
	}{
		"no port":            {target: targetOf(r, func(t *store.Target) { t.Endpoints = []string{"127.0.0.1"} }), says: "is not host:port"},
		"a socket":           {target: targetOf(r, func(t *store.Target) { t.Endpoints = []string{"/run/redis.sock"} }), says: "is not host:port"},
		"nobody there":       {target: targetOf(r, func(t *store.Target) { t.Endpoints = []string{"127.0.0.1:1"} }), says: "connection refused"},
		"a database by name": {target: targetOf(r, func(t *store.Target) { t.Database = "shop" }), says: "not a number"},
		"a wrong password":   {target: targetOf(r, as("nobody", "canary-7f")), login: true, says: "WRONGPASS"},
		"a Sentinel":         {target: targetOf(sentinel), says: "is a Sentinel"},
	} {
		s, err := Driver().Open(t.Context(), c.target)
		if err == nil {
			s.Close()
			t.Errorf("%s: it was opened", name)

			continue
		}
		if errors.Is(err, store.ErrLogin) != c.login || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
