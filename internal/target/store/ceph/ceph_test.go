package ceph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

const (
	pgs      = "mon_max_pg_per_osd"          // a number that monitors take up at once
	password = "rgw_keystone_admin_password" // a text that needs a restart
)

func TestASettingIsWrittenReadBackAndUnset(t *testing.T) {
	t.Parallel()

	s := begin(t, targetOf(stores.OwnCeph(t, localstore.CephOptions{})))
	if s.Version() != "Ceph 16.2.15" && !strings.HasPrefix(s.Version(), "Ceph 1") {
		t.Errorf("the version is %q", s.Version())
	}

	setting := live.Setting{Who: "global", Name: pgs}
	plain := func(state live.State) live.State {
		state.Rule = nil

		return state
	}

	before := live.State{Setting: setting, Running: live.Text("250")}
	if diff := cmp.Diff(before, plain(read(t, s, setting))); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}

	apply(t, s, setting, live.Text("0310"))

	set := live.State{Setting: setting, Stored: live.Text("310"), Running: live.Text("310")}
	if diff := cmp.Diff(set, plain(read(t, s, setting))); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}

	apply(t, s, setting, live.Value{})

	if diff := cmp.Diff(before, plain(read(t, s, setting))); diff != "" {
		t.Errorf("unset (-want +got):\n%s", diff)
	}
}

func TestChangesAreMadeInTheirOrderUntilOneIsRefused(t *testing.T) {
	t.Parallel()

	s := begin(t, targetOf(stores.Ceph(t)))
	first, second := live.Setting{Who: "client.order", Name: pgs}, live.Setting{Who: "client.order", Name: "mon_allow_pool_delete"}
	err := s.Apply(t.Context(), []live.Change{
		{Setting: first, To: live.Text("301")}, {Setting: second, To: live.Text("yes")}, {Setting: first, To: live.Text("302")},
	})

	if refused, ok := errors.AsType[*store.RefusedError](err); !ok || refused.Setting != second {
		t.Errorf("got %v, want the second change to be refused", err)
	}

	if got := read(t, s, first).Stored; got != live.Text("301") {
		t.Errorf("got %v, want that only the first change was made", got)
	}
}

func TestEverySectionThatIsAcceptedIsItsOwnPlace(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))
	whos := []string{
		"global", "mon", "mon.a", "osd", "osd.0", "osd.999", "osd.abc", "mgr", "mds", "client", "client.x", "client.rgw.my-store.a",
		"osd/class:ssd", "osd/host:n1", "osd/class:hdd/host:n1", "class:ssd", "osd/rack:r1",
	}

	var settings []live.Setting

	for i, who := range whos {
		setting := live.Setting{Who: who, Name: pgs}
		settings = append(settings, setting)
		apply(t, s, setting, number(1000+i))
	}

	states, err := s.Read(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}

	for i, state := range states {
		if want := number(1000 + i); state.Stored != want || state.Problem != nil || state.Setting != settings[i] {
			t.Errorf("%s: got %v and %v, want %v", whos[i], state.Stored, state.Problem, want)
		}
	}

	for i, setting := range settings {
		apply(t, s, setting, live.Value{})

		if got := read(t, s, setting).Stored; got.Set {
			t.Errorf("%s: got %v after it was unset", whos[i], got)
		}
	}
}

func TestWhatCannotBeSetIsToldBeforeAndRefusedAfter(t *testing.T) {
	t.Parallel()

	s := begin(t, targetOf(stores.Ceph(t)))
	cases := map[string]struct {
		setting live.Setting
		cause   live.Cause
		says    string
	}{
		"no such option":            {live.Setting{Who: "global", Name: "mon_max_pigs"}, live.CauseUnknown, "is not an option of this Ceph"},
		"no manager is up":          {live.Setting{Who: "mgr", Name: "mgr/dashboard/GRAFANA_API_PASSWORD"}, live.CauseUnknown, "a manager (mgr) that is up"},
		"what a daemon needs first": {live.Setting{Who: "global", Name: "fsid"}, live.CauseFixed, "is special"},
		"addresses of monitors":     {live.Setting{Who: "global", Name: "mon_host"}, live.CauseFixed, "is special"},
		"a keyring":                 {live.Setting{Who: "mon", Name: "keyring"}, live.CauseFixed, "is special"},
		"a directory":               {live.Setting{Who: "mon", Name: "mon_data"}, live.CauseFixed, "is special"},
		"for new clusters only":     {live.Setting{Who: "mon", Name: "mon_osd_full_ratio"}, live.CauseFixed, "is special"},
		"a gateway is a client":     {live.Setting{Who: "rgw", Name: pgs}, live.CauseUnknown, "no section"},
		"capitals":                  {live.Setting{Who: "OSD", Name: pgs}, live.CauseUnknown, "no section"},
		"a wildcard":                {live.Setting{Who: "osd.*", Name: pgs}, live.CauseUnknown, "never read"},
		"no mask":                   {live.Setting{Who: "osd/bogusmask", Name: pgs}, live.CauseUnknown, "no section"},
		"no name":                   {live.Setting{Who: "global"}, live.CauseUnknown, "no name of an option"},
		"a name that is none":       {live.Setting{Who: "global", Name: "a\nb"}, live.CauseUnknown, "no name of an option"},
		"what others have":          {live.Setting{Who: "global", Name: pgs, Database: "shop"}, live.CauseUnknown, "who and a name alone"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			state := read(t, s, test.setting)
			if state.Rule != nil || state.Problem == nil || state.Problem.Cause != test.cause ||
				!strings.Contains(state.Problem.Message, test.says) {
				t.Errorf("got %+v, want %s: %q", state.Problem, test.cause, test.says)
			}

			if got := refusal(t, s, test.setting, live.Text("5")).Reason; !strings.Contains(got, test.says) {
				t.Errorf("got %q, want %q", got, test.says)
			}
		})
	}
}

func TestADangerousOptionHasARuleToo(t *testing.T) {
	t.Parallel()

	state := read(t, begin(t, targetOf(stores.Ceph(t))), live.Setting{Who: "global", Name: "auth_client_required"})
	if state.Rule == nil || state.Problem == nil || state.Problem.Cause != live.CauseDangerous {
		t.Errorf("got %v and %v, want both", state.Rule, state.Problem)
	}
}

func TestARefusedValueIsExplainedWithoutIt(t *testing.T) {
	t.Parallel()

	s := begin(t, targetOf(stores.Ceph(t)))
	cases := map[string]struct{ name, value, says string }{
		"the wrong type":      {pgs, "canary", "whole number"},
		"below the minimum":   {pgs, "0", "at least 1"},
		"above the maximum":   {"osd_scrub_begin_hour", "24", "from 0 to 23"},
		"none of the choices": {"osd_op_queue", "canary", "one of wpq, mclock_scheduler, debug_random"},
		"no truth value":      {"mon_allow_pool_delete", "yes", "true or false"},
		"a unit too much":     {"osd_memory_target", "4GiB", "but not both"},
		"a level too high":    {"debug_mon", "-1", "from 0 to 99"}, // the monitors answer ERANGE
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			setting := live.Setting{Who: "client.refused", Name: test.name}
			if err := read(t, s, setting).Rule.Check(test.value); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("before: got %v, want %q", err, test.says)
			}

			got := refusal(t, s, setting, live.Text(test.value)).Error()
			if !strings.Contains(got, test.says) || strings.Contains(got, "canary") {
				t.Errorf("got %q, want %q and nothing of the value", got, test.says)
			}
		})
	}

	// To a session that has not read the option the monitors' answer is all that is known.
	fresh := begin(t, targetOf(stores.Ceph(t)))
	if got := refusal(t, fresh, live.Setting{Who: "client.refused", Name: pgs}, live.Text("canary")).Error(); strings.Contains(got, "canary") {
		t.Errorf("the value is in the error: %q", got)
	}
}

func TestAnOptionThatSomebodyForcedInIsSeenAndUnknown(t *testing.T) {
	t.Parallel()

	c := stores.Ceph(t)
	admin(t, c, map[string]any{"prefix": "config set", "who": "client.forced", "name": "no_such_option", "value": "v", "force": true})

	state := read(t, begin(t, targetOf(c)), live.Setting{Who: "client.forced", Name: "no_such_option"})
	if state.Stored != live.Text("v") || state.Problem == nil || state.Problem.Cause != live.CauseUnknown {
		t.Errorf("got %v and %v, want the value and that the option is unknown", state.Stored, state.Problem)
	}
}

func TestTwoSpellingsOfAnOptionAreOne(t *testing.T) {
	t.Parallel()

	s := begin(t, targetOf(stores.Ceph(t)))
	apply(t, s, live.Setting{Who: "client.spelt", Name: "mon-max pg-per_osd"}, live.Text("301"))

	if got := read(t, s, live.Setting{Who: "client.spelt", Name: pgs}).Stored; got != live.Text("301") {
		t.Errorf("got %v, want 301", got)
	}

	apply(t, s, live.Setting{Who: "osd/class:x/host:y", Name: pgs}, live.Text("302"))

	if got := read(t, s, live.Setting{Who: "host:y/osd/class:x", Name: pgs}).Stored; got != live.Text("302") {
		t.Errorf("got %v, want 302", got)
	}
}

func TestWritesThatChangeNothingMakeNoHistory(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))
	memory, absent := live.Setting{Who: "osd", Name: "osd_memory_target"}, live.Setting{Who: "osd", Name: "osd_max_backfills"}
	apply(t, s, memory, live.Text("4G"))

	before := newest(t, c)

	for _, same := range []string{"4G", "4294967296", "4096M", "+4Gi"} {
		apply(t, s, memory, live.Text(same))
	}

	apply(t, s, absent, live.Value{})
	apply(t, s, live.Setting{Who: "osd", Name: "mon_max_pigs"}, live.Value{}) // unset is what it is

	if after := newest(t, c); after != before {
		t.Errorf("the database went from version %d to %d", before, after)
	}
}

// What Rook does instead leaves a gap with the default value, and the default for good when the new one is refused.
func TestTheRunningMonitorNeverSeesAnythingBetweenTwoValues(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))
	setting := live.Setting{Who: "global", Name: pgs}
	apply(t, s, setting, live.Text("300"))
	read(t, s, setting) // it runs

	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan []string)

	go func() {
		var values []string

		for ctx.Err() == nil {
			reply, err := c.Admin().Tell(t.Context(), "a", map[string]any{"prefix": "config get", "var": pgs, "format": "json"})
			if err != nil {
				t.Error(err)
			}

			values = append(values, string(reply.Out))
		}
		seen <- slices.Compact(values)
	}()

	for _, value := range []string{"301", "302", "303"} {
		apply(t, s, setting, live.Text(value))
		read(t, s, setting)
	}

	refusal(t, s, setting, live.Text("0"))

	if got := read(t, s, setting); got.Stored != live.Text("303") || got.Running != live.Text("303") {
		t.Errorf("got %v and %v after a refusal, want the last good value", got.Stored, got.Running)
	}

	cancel()

	for _, value := range <-seen {
		if !strings.Contains(value, `"30`) {
			t.Errorf("the monitor ran with %s", value)
		}
	}
}

func TestWhatOutranksTheDatabaseIsNamed(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{
		Config: "mon_allow_pool_delete = true\nrgw_frontends = beast port=1", Args: []string{"--mon_max_pool_pg_num=77"},
	})
	s := begin(t, targetOf(c))
	override := map[string]any{"prefix": "config set", "var": "osd_max_backfills", "val": []string{"9"}}

	if _, err := c.Admin().Tell(t.Context(), "a", override); err != nil {
		t.Fatal(err)
	}

	cases := map[string]struct {
		setting        live.Setting
		value, running string
		shadowedBy     string
		restart        bool
	}{
		"a file":                          {live.Setting{Who: "global", Name: "mon_allow_pool_delete"}, "false", "true", "the configuration file of mon.a", false},
		"the command line":                {live.Setting{Who: "mon", Name: "mon_max_pool_pg_num"}, "88", "77", "the command line of mon.a", false},
		"a change of the moment":          {live.Setting{Who: "mon.a", Name: "osd_max_backfills"}, "4", "9", "a setting made at run time in mon.a", false},
		"a file, also at the start":       {live.Setting{Who: "global", Name: "rgw_frontends"}, "beast port=2", "beast port=1", "the configuration file of mon.a", true},
		"nothing":                         {live.Setting{Who: "global", Name: pgs}, "0301", "301", "", false},
		"nothing, but it needs a restart": {live.Setting{Who: "global", Name: password}, "pw", "", "", true},
		"nobody who could be asked":       {live.Setting{Who: "osd", Name: "mon_allow_pool_delete"}, "false", "", "", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apply(t, s, test.setting, live.Text(test.value))

			got := read(t, s, test.setting)
			if got.Running.Text != test.running || got.ShadowedBy != test.shadowedBy || got.Restart != test.restart {
				t.Errorf("got %v, shadowed by %q, restart %v; want %+v", got.Running, got.ShadowedBy, got.Restart, test)
			}
		})
	}
}

func TestAMonitorTakesNoOptionForItsStartFromTheDatabase(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))
	setting := live.Setting{Who: "mon", Name: "rgw_frontends"}
	apply(t, s, setting, live.Text("beast port=2"))

	for _, when := range []string{"before a restart", "after it"} {
		got := read(t, s, setting)
		if !got.Restart || got.Stored != live.Text("beast port=2") || got.Running != live.Text("beast port=7480") ||
			!strings.Contains(got.ShadowedBy, "from its configuration file alone") {
			t.Errorf("%s: got %+v, want that it will never run", when, got)
		}

		if err := c.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// recorder notes what is asked of the monitors.
type recorder struct {
	connection

	mu       sync.Mutex
	prefixes []string
}

func (r *recorder) note(command map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.prefixes = append(r.prefixes, command["prefix"].(string))
}

// count returns how often something was asked.
func (r *recorder) count(prefix string) int {
	r.mu.Lock()
	defer r.mu.Unlock()

	n := 0

	for _, asked := range r.prefixes {
		if asked == prefix {
			n++
		}
	}

	return n
}

func (r *recorder) Do(ctx context.Context, command map[string]any) (rados.Reply, error) {
	r.note(command)

	return r.connection.Do(ctx, command)
}

func (r *recorder) Tell(ctx context.Context, monitor string, command map[string]any) (rados.Reply, error) {
	r.note(command)

	return r.connection.Tell(ctx, monitor, command)
}

// recorded is a session whose questions are noted.
func recorded(t testing.TB, c *localstore.Ceph, clk clock.Clock) (*session, *recorder) {
	t.Helper()

	admins, ok := begin(t, targetOf(c)).(*session)
	if !ok {
		t.Fatal("not a session of this driver")
	}

	r := &recorder{connection: admins.cluster}

	return newSession(r, "client.admin", clk, limit), r
}

func TestOnlyCommandsThatCannotHurtAreEverSent(t *testing.T) {
	t.Parallel()

	s, r := recorded(t, stores.Ceph(t), clock.RealClock{})
	setting := live.Setting{Who: "global", Name: "mon_warn_on_slow_ping_ratio"}
	apply(t, s, setting, live.Text("0.5"))
	read(t, s, setting)
	apply(t, s, setting, live.Value{})

	if _, err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}

	running(t, s, "client.rgw.a")
	slices.Sort(r.prefixes)

	want := []string{"config diff", "config dump", "config help", "config log", "config rm", "config set", "mon dump", "sessions"}
	if diff := cmp.Diff(want, slices.Compact(r.prefixes)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadersAtTheSameTimeShareWhatTheyAsk(t *testing.T) {
	t.Parallel()

	s, r := recorded(t, stores.Ceph(t), clock.RealClock{})
	setting := live.Setting{Who: "client.shared", Name: pgs}
	read(t, s, setting)

	r.prefixes = nil

	var readers sync.WaitGroup

	for range 200 {
		readers.Go(func() { read(t, s, setting) })
	}

	readers.Wait()

	if dumps := len(r.prefixes); dumps > 100 {
		t.Errorf("200 readers asked %d times, want a fraction of it", dumps)
	}
}

func TestASchemaIsLearntAgainAfterAWhile(t *testing.T) {
	t.Parallel()

	clk := clocktesting.NewFakeClock(time.Now())
	s, r := recorded(t, stores.Ceph(t), clk)
	setting := live.Setting{Who: "client.schema", Name: pgs}

	for _, step := range []struct {
		passes time.Duration
		want   int
	}{{0, 1}, {schemaAge - 1, 1}, {1, 2}} {
		clk.Step(step.passes)
		read(t, s, setting)

		if got := r.count("config help"); got != step.want {
			t.Errorf("asked %d times, want %d", got, step.want)
		}
	}
}

// A monitor without an admin socket never answers what is told to it alone.
func TestAMonitorThatDoesNotTellHoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{Config: "admin_socket ="})
	clk := clocktesting.NewFakeClock(time.Now())
	s, r := recorded(t, c, clk)
	setting := live.Setting{Who: "mon", Name: pgs}
	apply(t, s, setting, live.Text("301"))

	for _, step := range []struct {
		passes time.Duration
		asked  int
	}{{0, 1}, {sulk - 1, 1}, {1, 2}} {
		clk.Step(step.passes)
		within(t, 3*tellTimeout, "a read", func() {
			if got := read(t, s, setting); got.Stored != live.Text("301") || got.Running.Set {
				t.Errorf("got %+v, want what is stored alone", got)
			}
		})

		if got := r.count("config diff"); got != step.asked {
			t.Errorf("asked %d times, want %d", got, step.asked)
		}
	}
}

func TestAWriterReadsItsOwnWriteAmongOthers(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))

	var writers sync.WaitGroup

	for i := range 20 {
		setting := live.Setting{Who: fmt.Sprintf("client.w%d", i), Name: pgs}
		if i == 0 {
			setting.Who = "mon.a" // one of which the running monitor is asked
		}

		writers.Go(func() {
			for j := range 10 {
				want := number(1000*(i+1) + j)
				apply(t, s, setting, want)

				got := read(t, s, setting)
				if got.Stored != want || got.Running.Set && got.Running != want || got.ShadowedBy != "" {
					t.Errorf("%s: got %v, running %v, shadowed by %q; want %v", setting.ID(), got.Stored, got.Running, got.ShadowedBy, want)
				}
			}
		})
	}

	writers.Wait()
}

func TestProbeTellsThatSomethingHasChanged(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s, ok := begin(t, targetOf(c)).(store.Prober)

	if !ok {
		t.Fatal("the session is no prober")
	}

	probe := func() string {
		mark, err := s.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		return mark
	}
	empty := probe()

	if again := probe(); again != empty {
		t.Errorf("%q became %q and nothing has changed", empty, again)
	}

	admin(t, c, map[string]any{"prefix": "config set", "who": "osd", "name": pgs, "value": "7"})

	if changed := probe(); changed == empty {
		t.Errorf("it is %q before and after a change", changed)
	}
}

func TestNoValueIsInTheLogOfTheMonitor(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))
	setting := live.Setting{Who: "client.rgw.a", Name: password}
	apply(t, s, setting, live.Text("canary"))
	read(t, s, setting)

	log, err := os.ReadFile(c.Log())
	if err != nil || bytes.Contains(log, []byte("canary")) {
		t.Errorf("got %v, want a log without the value:\n%s", err, log)
	}
}
