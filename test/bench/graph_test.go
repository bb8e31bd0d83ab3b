package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"
)

// graphMeasured is what a run of the graph scene says about one controller, without the times.
type graphMeasured struct {
	Expected, Missed          map[string]int
	WritesAtRestart, HasFloor bool
	Samples                   int
}

func TestADeafControllerIsToldFromAFaithfulOneByTheirGraphs(t *testing.T) {
	t.Parallel()
	requirePlane(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var progress strings.Builder
	result, err := runForTest(t, []string{
		"-lockstep", strconv.Quote(self) + " stand-in grapher", "-against", strconv.Quote(self) + " stand-in deaf",
		"-scene", sceneGraph, "-rounds", "1", "-patience", "2s", "-calm", "500ms", "-seed", "1", "-dir", t.TempDir(),
		"-graph-instances", "4", "-graph-chains", "2", "-graph-samples", "2", "-graph-rest", "1s", "-graph-many", "5",
	}, &progress)
	t.Log("\n" + progress.String())
	if err != nil {
		t.Fatal(err)
	}
	var got []graphMeasured
	for _, turn := range result.Turns {
		got = append(got, summarizeGraph(turn))
	}
	expected := map[string]int{
		phaseCreated: 4, phaseEdited: 16, phaseDrift: 2, phaseDefinitions: 3, phaseChains: 2, phaseTravel: 2,
		phaseDeleted: 6, phaseMany: 5, phaseManyDrift: 1,
	}
	want := []graphMeasured{
		{Expected: expected, Missed: map[string]int{}, WritesAtRestart: true, HasFloor: true, Samples: 5},
		{
			Expected: expected, Missed: map[string]int{phaseDrift: 2, phaseManyDrift: 1},
			WritesAtRestart: true, HasFloor: true, Samples: 2,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was measured (-want +got):\n%s", diff)
	}
}

func summarizeGraph(turn *Turn) graphMeasured {
	m := graphMeasured{Expected: map[string]int{}, Missed: map[string]int{}}
	create, change := turn.Floors[phaseCreated], turn.Floors[phaseEdited]
	m.HasFloor = create.Writes == 12 && change.Writes == 8 && create.ManagerWrites > 4 && change.ManagerWrites >= 4
	for _, p := range turn.Phases {
		if p.Expected > 0 {
			m.Expected[p.Name] = p.Expected
		}
		if p.Missed > 0 {
			m.Missed[p.Name] = p.Missed
		}
		m.Samples += len(p.Samples)
		switch p.Name {
		case phaseManyRestart:
			m.WritesAtRestart = p.Requests.writes() > 0
		case phaseCreated, phaseEdited:
			m.HasFloor = m.HasFloor && p.OverFloor != nil && *p.OverFloor > 0
		}
	}
	return m
}

func TestWritesOverTheFloorLeaveOutReadsLeasesAndWhatTheWorkTakesByHand(t *testing.T) {
	t.Parallel()
	floor := Floor{Writes: 600, ManagerWrites: 900}
	controller := requests{
		"patch sites": 200, "patch sites/status": 400, "patch configmaps": 200, "patch services": 200,
		"patch deployments": 200, "create events": 3,
		"list sites": 1, "watch sites": 1, "get (discovery)": 5, "update leases": 7, "create selfsubjectaccessreviews": 2,
	}
	manager := requests{"create replicasets": 200, "update deployments/status": 600, "create endpointslices": 200}
	if got, want := floor.over(controller, manager), 703; got != want {
		t.Errorf("over the floor: %d, want %d", got, want)
	}
	if got, want := controller.reads(), 8; got != want {
		t.Errorf("reads: %d, want %d", got, want)
	}
	if got, want := floor.over(requests{}, requests{}), -1500; got != want {
		t.Errorf("over the floor without any work: %d, want %d: it must be seen that nothing was done", got, want)
	}
}

func TestTheGraphRowsCompareWithTheirTargets(t *testing.T) {
	t.Parallel()
	over := func(n int) *int { return &n }
	turns := []*Turn{{
		Scene: sceneGraph, Controller: "lockstep", Round: 1,
		Floors: map[string]Floor{phaseCreated: {Seconds: 0.5}, phaseEdited: {Seconds: 0.25}},
		Phases: []*Phase{
			{Name: phaseCreated, Seconds: 2.25, OverFloor: over(601), Requests: requests{"list sites": 3}},
			{Name: phaseEdited, Seconds: 1.25, OverFloor: over(-2)},
			{Name: phaseDrift, Samples: []float64{5, 6, 130}, Missed: 1},
			{Name: phaseQuiet, Requests: requests{"update leases": 4, "watch sites": 1}},
			{Name: phaseDefinitions, Seconds: 1.75},
			{Name: phaseChains, Seconds: 1},
			{Name: phaseTravel, Samples: []float64{40, 50, 60}},
			{Name: phaseDeleted, Seconds: 3},
			{Name: phaseManyRestart, Seconds: 4, Requests: requests{"patch sites": 1}},
			{Name: phaseManyDrift, Samples: []float64{7}},
		},
		Initial: &memory{Resident: 50_000_000}, End: &memory{Resident: 56_000_000},
	}}
	o := options{Rounds: 1, Graph: graphSizes{Instances: 200, Chains: 20, Rest: 8 * time.Second, Many: 2000}}
	r := newReport(o, []string{"lockstep"}, turns, time.Unix(1700000000, 0))
	want := [][]string{
		{"measure", "target", "verdict", "lockstep"},
		{"children of 200 instances, made by hand", "", "", "0.50 s"},
		{"200 instances ACTIVE after create", "≤ 2.50 s", "met", "2.25 s"},
		{"writes over the floor at create", "≤ 600", "MISSED", "601"},
		{"reads at create", "≤ 200", "met", "3"},
		{"children of 200 instances, changed by hand", "", "", "0.25 s"},
		{"spec change on 200 instances converged", "≤ 1.50 s", "met", "1.25 s"},
		{"writes over the floor at the change", "≤ 400", "met", "-2"},
		{"reads at the change", "≤ 20", "met", "0"},
		{"writes of instances at rest in 8s", "≤ 0", "met", "0"},
		{"reads of instances at rest in 8s", "≤ 0", "met", "0"},
		{"drift of one child repaired, p50", "≤ 25 ms", "met", "6 ms"},
		{"drift of one child repaired, max", "≤ 120 ms", "MISSED", "130 ms"},
		{"three chained definitions Active", "≤ 1.50 s", "MISSED", "1.75 s"},
		{"20 three-level instances ACTIVE", "≤ 1.20 s", "met", "1 s"},
		{"a value three levels down and back, p50", "≤ 80 ms", "met", "50 ms"},
		{"220 instances deleted", "≤ 5 s", "met", "3 s"},
		{"2000 instances: restart to quiet", "≤ 10 s", "met", "4 s"},
		{"2000 instances: writes at the restart", "≤ 0", "MISSED", "1"},
		{"2000 instances: drift repaired after the restart", "", "", "7 ms"},
		{"2000 instances: memory of each child object", "", "", "1 kB"},
		{"graph objects not as asked", "≤ 0", "MISSED", "1"},
	}
	if diff := cmp.Diff(want, r.table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestTheChildrenByHandAreThoseOfTheDefinition(t *testing.T) {
	t.Parallel()
	site, err := readDefinition(siteName)
	if err != nil {
		t.Fatal(err)
	}
	children, err := siteChildren(site, "a", "v")
	if err != nil {
		t.Fatal(err)
	}
	type summary struct {
		Resource, Name string
		Changes, Right bool
	}
	var got []summary
	conditions := rightChildren("a", "v")
	for _, c := range children {
		at := sight{c.resource.Resource, c.object.GetName()}
		got = append(got, summary{at.resource, at.name, c.changes, conditions[at](c.object)})
		if text, err := c.object.MarshalJSON(); err != nil || strings.Contains(string(text), "${") {
			t.Errorf("an expression is left, or %v, in %s", err, text)
		}
	}
	want := []summary{{"configmaps", "a", true, true}, {"services", "a", false, true}, {"deployments", "a", true, true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("children (-want +got):\n%s", diff)
	}
	if len(children) != siteChildCount {
		t.Errorf("%d children, counted as %d", len(children), siteChildCount)
	}
}

func TestEveryDefinitionIsThereWithItsInstances(t *testing.T) {
	t.Parallel()
	for _, name := range append(chain(), siteName) {
		definition, err := readDefinition(name)
		if err != nil {
			t.Fatal(err)
		}
		instance := newInstance(name, "x", "f", "v")
		made := field(definition, "spec", "schema", "group") + "/" + field(definition, "spec", "schema", "apiVersion")
		if instance.GetKind() != field(definition, "spec", "schema", "kind") || instance.GetAPIVersion() != made {
			t.Errorf("instance %v is not of definition %s", instance.Object, name)
		}
	}
	if _, err := readDefinition("none"); err == nil {
		t.Error("a definition that does not exist was read")
	}
	crds, err := dialectCRDs(dialectGraph)
	if err != nil || len(crds) < 2 {
		t.Errorf("%d CustomResourceDefinitions of the dialect, error %v", len(crds), err)
	}
}

func TestAGoalIsReachedWhenItsLastConditionIsSeenToHold(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1700000000, 0)
	s := newSights(clocktesting.NewFakeClock(begun))
	at := sight{"configmaps", "a"}
	with := func(value string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"value": value}}}
	}
	s.note(at, with("good"), begun)
	good := has("good", "data", "value")
	goal := s.aim(map[sight]condition{at: repaired(has("bad", "data", "value"), good)})
	s.note(at, with("good"), begun.Add(time.Second))
	if _, left, _ := s.state(goal); left != 1 {
		t.Error("what never drifted counts as repaired")
	}
	s.note(at, with("bad"), begun.Add(2*time.Second))
	s.note(at, with("good"), begun.Add(3*time.Second))
	s.note(at, with("bad"), begun.Add(4*time.Second))
	reached, left, err := s.await(t.Context(), goal, time.Minute)
	if left != 0 || err != nil || !reached.Equal(begun.Add(3*time.Second)) {
		t.Errorf("reached %s, %d left, error %v, want after 3 s", reached, left, err)
	}
	if diff := cmp.Diff([]string{"configmaps/a"}, s.unmet(map[sight]condition{at: good})); diff != "" {
		t.Errorf("unmet (-want +got):\n%s", diff)
	}
	s.note(at, nil, begun)
	if left := s.unmet(map[sight]condition{at: gone}); len(left) > 0 {
		t.Errorf("%v are not seen to be gone", left)
	}
}

func TestWhenTheWatchBreaksAGoalIsGivenUpWithTheReason(t *testing.T) {
	t.Parallel()
	s := newSights(clocktesting.NewFakeClock(time.Unix(1700000000, 0)))
	goal := s.aim(map[sight]condition{{"configmaps", "a"}: has("v", "data", "value")})
	s.fail(os.ErrDeadlineExceeded)
	if _, left, err := s.await(t.Context(), goal, time.Minute); err == nil || left != 1 {
		t.Errorf("error %v with %d left, want the watch's error", err, left)
	}
}

func TestTheTimeOfTheLastRequestAndWritesOfTheManagerAreReadFromTheLog(t *testing.T) {
	t.Parallel()
	const line = `{"verb":"%","user":{"username":"@"},"objectRef":{"resource":"#"},"requestReceivedTimestamp":"2026-01-02T03:04:0!.5Z"}`
	var text strings.Builder
	for _, event := range [][4]string{
		{"patch", "us", "sites", "2"},
		{"get", "us", "sites", "1"},
		{"update", "us", "leases", "9"},
		{"create", managerPrefix + "deployment-controller", "replicasets", "5"},
		{"create", managerPrefix + "endpointslice-controller", "endpointslices", "6"},
		{"create", accountPrefix + "subject-0", "configmaps", "7"},
	} {
		text.WriteString(strings.NewReplacer("%", event[0], "@", event[1], "#", event[2], "!", event[3]).Replace(line) + "\n")
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := openAudit(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.close() }()
	last, err := log.last("us")
	if want := time.Date(2026, 1, 2, 3, 4, 2, 5e8, time.UTC); err != nil || !last.Equal(want) {
		t.Errorf("last request at %s, error %v, want %s", last, err, want)
	}
	manager, err := log.ofManager()
	if diff := cmp.Diff(requests{"create replicasets": 1, "create endpointslices": 1}, manager); err != nil || diff != "" {
		t.Errorf("error %v, the manager's requests (-want +got):\n%s", err, diff)
	}
}

func TestAProcessThatHasSentNothingYetIsNotAtRest(t *testing.T) {
	t.Parallel()
	counts := []int{5, 5, 6, 6, 5}
	want := []bool{true, true, true, false, true}
	i := -1
	busy := afterFirst(5, func() (int, error) { i++; return counts[i], nil })
	for n := range counts {
		if got, err := busy(); err != nil || got != want[n] {
			t.Errorf("poll %d: busy %t, error %v, want %t", n, got, err, want[n])
		}
	}
}
