package main

import (
	"maps"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// requireStores skips the test at a desk without the stores; in a complete environment their absence is an error.
func requireStores(t *testing.T) {
	t.Helper()
	requirePlane(t)
	if err := storesInstalled(); err != nil && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// liveMeasured is what a run of the live scene says about one controller, without the times.
type liveMeasured struct {
	Expected, Missed map[string]int
	// ByHand and Samples are counts, of the phases that have any.
	ByHand, Samples map[string]int
	// AsksAtRest, ReadsAtRest and CountedAtRest are what the controller tells, what the API has seen, and what Redis has.
	AsksAtRest, ReadsAtRest, CountedAtRest bool
	WritesAtRestart, ChangedAtRest         bool
	Verified                               bool
}

func TestARestlessControllerIsToldFromAFaithfulOneByTheirLiveSettings(t *testing.T) {
	t.Parallel()
	requireStores(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var progress strings.Builder
	result, err := runForTest(t, []string{
		"-lockstep", strconv.Quote(self) + " stand-in setter {metrics}", "-against", strconv.Quote(self) + " stand-in restless {metrics}",
		"-scene", sceneLive, "-rounds", "1", "-patience", "2s", "-calm", "500ms", "-rest", "1s", "-seed", "1",
		"-live-configs", "12", "-live-burst", "4", "-live-samples", "2",
	}, &progress)
	t.Log("\n" + progress.String())
	if err != nil {
		t.Fatal(err)
	}
	var got []liveMeasured
	for _, turn := range result.Turns {
		got = append(got, summarizeLive(turn))
	}
	expected := map[string]int{phaseLiveCreated: 4, phaseLiveBurst: 12, phaseLiveMany: 3, phaseLiveRestored: 5}
	byHand, samples := map[string]int{phaseLiveBurst: 4}, map[string]int{phaseLiveBurst: 3, phaseLiveRestored: 5}
	for _, store := range storeNames() {
		expected[phaseLiveSingle+store], byHand[phaseLiveSingle+store], samples[phaseLiveSingle+store] = 2, 2, 2
	}
	faithful := liveMeasured{Expected: expected, Missed: map[string]int{}, ByHand: byHand, Samples: samples, Verified: true}
	fewer := maps.Clone(samples)
	delete(fewer, phaseLiveSingle+mariadbName)
	fewer[phaseLiveRestored] = 4
	want := []liveMeasured{faithful, {
		Expected: expected, Missed: map[string]int{phaseLiveSingle + mariadbName: 2, phaseLiveRestored: 1},
		ByHand: byHand, Samples: fewer, Verified: true,
		AsksAtRest: true, ReadsAtRest: true, CountedAtRest: true, WritesAtRestart: true,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was measured (-want +got):\n%s", diff)
	}
}

func summarizeLive(turn *Turn) liveMeasured {
	m := liveMeasured{
		Expected: map[string]int{}, Missed: map[string]int{}, ByHand: map[string]int{}, Samples: map[string]int{},
	}
	for _, p := range turn.Phases {
		for counts, n := range map[*map[string]int]int{&m.Expected: p.Expected, &m.Missed: p.Missed, &m.Samples: len(p.Samples)} {
			if n > 0 {
				(*counts)[p.Name] = n
			}
		}
		if p.Live != nil && len(p.Live.ByHand) > 0 {
			m.ByHand[p.Name] = len(p.Live.ByHand)
		}
		switch p.Name {
		case phaseLiveSingle + redisName:
			m.Verified = p.Live.Verified != nil && *p.Live.Verified > 0
		case phaseLiveRest:
			m.AsksAtRest = p.Live.StoreRequests.busy() > 0
			m.ReadsAtRest = p.Requests.reads() > 0
			m.CountedAtRest = p.Live.Counted[redisName].Commands > 0
			for _, c := range p.Live.Counted {
				m.ChangedAtRest = m.ChangedAtRest || c.Changes != 0
			}
		case phaseLiveRestart:
			m.WritesAtRestart = p.Requests.writes() > 0
		}
	}
	return m
}

func TestTheLiveRowsCompareWithTheirTargets(t *testing.T) {
	t.Parallel()
	mean := 7.5
	turns := []*Turn{{
		Scene: sceneLive, Controller: "lockstep", Round: 1,
		Phases: []*Phase{
			{
				Name: phaseLiveSingle + cephName, Samples: []float64{30, 40, 33},
				Live: &LivePhase{ByHand: []float64{2, 2.5, 9}, Recorded: []float64{50, 60, 70}, Verified: &mean},
			},
			{Name: phaseLiveSingle + mariadbName, Samples: []float64{90}, Live: &LivePhase{ByHand: []float64{1}}},
			{
				Name: phaseLiveBurst, Samples: []float64{1500, 900, 1000}, Missed: 1,
				Live: &LivePhase{ByHand: []float64{400, 500, 600, 500}, Patched: []float64{750}, Recorded: []float64{2250}},
			},
			{
				Name: phaseLiveRest, Requests: requests{"update leases": 4, "watch secrets": 1, "get secrets": 1},
				Live: &LivePhase{
					StoreRequests: storeRequests{"probe": 16, "read": 0, "apply": 0},
					Counted: map[string]Counted{
						cephName: {Commands: 9}, redisName: {Changes: 1, Commands: 4}, etcdName: {}, postgresName: {Commands: -1},
					},
				},
			},
			{Name: phaseLiveRestart, Seconds: 1.25, Requests: requests{"get secrets": 1000}, Live: &LivePhase{StoreRequests: storeRequests{"read": 1000, "open": 5}}},
		},
		End: &memory{Resident: 88_000_000},
	}}
	o := options{Rounds: 1, Rest: 10 * time.Second, Live: liveSizes{Configs: 1000, Burst: 200, Samples: 3}}
	r := newReport(o, []string{"lockstep"}, turns, time.Unix(1700000000, 0))
	want := [][]string{
		{"measure", "target", "verdict", "lockstep"},
		{"Ceph: its own command by hand, p50", "", "", "2.50 ms"},
		{"Ceph: Secret changed until in the store, p50", "", "", "33 ms"},
		{"Ceph: over its own command, p50", "≤ 30 ms", "MISSED", "30.5 ms"},
		{"Ceph: from the event until verified, mean", "", "", "7.50 ms"},
		{"Ceph: Secret changed until the status tells, p50", "", "", "60 ms"},
		{"MariaDB: its own command by hand, p50", "", "", "1 ms"},
		{"MariaDB: Secret changed until in the store, p50", "", "", "90 ms"},
		{"MariaDB: over its own command, p50", "", "", "89 ms"},
		{"200 options of Ceph by hand, in sequence", "", "", "0.50 s"},
		{"200 Secrets changed, until the API has answered", "", "", "0.75 s"},
		{"200 LiveConfigs on one Ceph, first Secret to last value", "", "", "1 s"},
		{"200 LiveConfigs on one Ceph / by hand", "≤ 2 ×", "met", "2 ×"},
		{"200 LiveConfigs on one Ceph, until the last status tells", "", "", "2.25 s"},
		{"API writes of 1000 LiveConfigs at rest in 10s", "≤ 0", "met", "0"},
		{"API reads of 1000 LiveConfigs at rest in 10s", "≤ 0", "MISSED", "1"},
		{"requests to stores but probes of 1000 LiveConfigs at rest in 10s", "≤ 0", "met", "0"},
		{"probes of stores of 1000 LiveConfigs at rest in 10s", "", "", "16"},
		{"changes that the stores counted at rest", "≤ 0", "MISSED", "1"},
		{"commands that Redis counted at rest", "", "", "4"},
		{"messages that Ceph's monitor counted at rest", "", "", "9"},
		{"reads and writes that etcd counted at rest", "≤ 0", "met", "0"},
		{"1000 LiveConfigs: restart to quiet", "", "", "1.25 s"},
		{"1000 LiveConfigs: API writes at the restart", "≤ 0", "met", "0"},
		{"1000 LiveConfigs: requests to stores at the restart", "", "", "1005"},
		{"1000 LiveConfigs: resident memory after the restart", "", "", "88 MB"},
		{"live changes not as asked", "≤ 0", "MISSED", "1"},
	}
	if diff := cmp.Diff(want, r.table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestTheMetricsOfAControllerAreRead(t *testing.T) {
	t.Parallel()
	text := `# HELP lockstep_live_store_requests_total Requests to stores, by what was asked.
# TYPE lockstep_live_store_requests_total counter
lockstep_live_store_requests_total{store_type="Ceph",what="probe"} 3
lockstep_live_store_requests_total{store_type="Ceph",what="read"} 5
lockstep_live_store_requests_total{store_type="Redis",what="read"} 2
lockstep_live_propagation_seconds_sum{store_type="Ceph"} 0.75
lockstep_live_propagation_seconds_count{store_type="Ceph"} 12
go_info{version="go1.26 with a blank"} 1e+00
`
	now, err := parseSeries(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	earlier := series{
		`lockstep_live_store_requests_total{store_type="Ceph",what="read"}`: 4,
		`lockstep_live_propagation_seconds_sum{store_type="Ceph"}`:          0.25,
		`lockstep_live_propagation_seconds_count{store_type="Ceph"}`:        2,
	}
	got := now.storeRequests(earlier)
	if diff := cmp.Diff(storeRequests{"probe": 3, "read": 3}, got); diff != "" || got.busy() != 3 {
		t.Errorf("%g requests but probes, all of them (-want +got):\n%s", got.busy(), diff)
	}
	if mean := now.verified(earlier, "Ceph"); mean == nil || math.Abs(*mean-50) > 1e-9 {
		t.Errorf("mean %v, want 50 ms", mean)
	}
	if mean := now.verified(earlier, "Redis"); mean != nil {
		t.Errorf("mean %v of nothing", *mean)
	}
	if now["go_info{version=\"go1.26 with a blank\"}"] != 1 {
		t.Errorf("a label with blanks is not read: %v", now)
	}
	if series(nil).storeRequests(nil) != nil {
		t.Error("a controller that tells nothing is said to have asked for nothing")
	}
	for _, wrong := range []string{"alone", "name one"} {
		if _, err := parseSeries(strings.NewReader(wrong)); err == nil {
			t.Errorf("%q was read", wrong)
		}
	}
}

func TestRedisCountsItsCommandsWithoutOurQuestion(t *testing.T) {
	t.Parallel()
	got, err := countRedis("# Commandstats\r\ncmdstat_info:calls=7,usec=1,usec_per_call=1.00\r\n" +
		"cmdstat_config|set:calls=2,usec=9\r\ncmdstat_config|get:calls=5,usec=9\r\n")
	if diff := cmp.Diff(Counted{Changes: 2, Commands: 7}, got); err != nil || diff != "" {
		t.Errorf("error %v, counted (-want +got):\n%s", err, diff)
	}
	if _, err := countRedis("cmdstat_get:calls=x,usec=1"); err == nil {
		t.Error("no number was read")
	}
}

func TestWhatAStoreDoesNotCountStaysUnknown(t *testing.T) {
	t.Parallel()
	got := Counted{Changes: 5, Commands: -1}.since(Counted{Changes: 3, Commands: -1})
	if diff := cmp.Diff(Counted{Changes: 2, Commands: -1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALookoutLooksUntilItsPatienceIsOver(t *testing.T) {
	t.Parallel()
	looks := 0
	l := lookout{clock: clock.RealClock{}, pause: time.Microsecond, patience: time.Millisecond}
	at, err := l.until(t.Context(), func() (bool, error) { looks++; return false, nil })
	if err != nil || !at.IsZero() || looks < 2 {
		t.Errorf("seen at %s after %d looks, error %v, want not at all", at, looks, err)
	}
	at, err = l.until(t.Context(), func() (bool, error) { return true, nil })
	if err != nil || at.IsZero() {
		t.Errorf("seen at %s, error %v, want at once", at, err)
	}
}

func TestThePlaceOfTheMetricsIsFilledIn(t *testing.T) {
	t.Parallel()
	all, err := options{Lockstep: "bin/lockstep", Scene: sceneLive}.controllers(dialectLive)
	if err != nil {
		t.Fatal(err)
	}
	s := subject{controller: all[0]}
	if err := s.reserve(); err != nil {
		t.Fatal(err)
	}
	defer s.release()
	want := []string{"bin/lockstep", "manager", "--dialects=live", "--metrics-bind-address=" + s.metrics, "--namespace=" + systemNamespace}
	if diff := cmp.Diff(want, s.command()); diff != "" || s.metrics == "" {
		t.Errorf("command line (-want +got):\n%s", diff)
	}
	other := subject{controller: controller{Argv: []string{"other"}}}
	if err := other.reserve(); err != nil || other.metrics != "" {
		t.Errorf("an address %q, error %v, for a command that has no place for one", other.metrics, err)
	}
}

func TestAMissingStoreIsNamedBeforeAnythingIsMeasured(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := storesInstalled()
	if err == nil {
		t.Skip("the stores are found without the PATH")
	}
	if _, is := err.(interface{ Unwrap() []error }); !is || !strings.Contains(err.Error(), "hack/install-stores") {
		t.Errorf("error %v, want all that is missing and how to install it", err)
	}
	var out, progress strings.Builder
	if code := command(t.Context(), []string{"-scene", sceneLive}, &out, &progress); code != exitBroken {
		t.Errorf("exit code %d, want %d", code, exitBroken)
	}
	if said := progress.String(); !strings.Contains(said, (&localstore.MissingServerError{Package: "ceph-mon", Binary: "ceph-mon"}).Error()) {
		t.Errorf("it said %q", said)
	}
}
