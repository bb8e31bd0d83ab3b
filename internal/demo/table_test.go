package demo

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// at is an observation of a workload that wants three pods, whose template was written so many times.
func at(writes int, revisions map[string]tally) *observation {
	o := &observation{generation: int64(1 + writes), want: 3, revisions: revisions}
	o.template.Annotations = map[string]string{"written": strconv.Itoa(writes)}

	return o
}

// cron is an observation of a CronJob with these Jobs.
func cron(jobs map[string]tally) *observation {
	return &observation{generation: 1, runs: true, want: 1, revisions: jobs}
}

func TestARowFollowsItsWorkload(t *testing.T) {
	t.Parallel()
	old := map[string]tally{"old": {3, 3}}
	type look struct {
		now  *observation
		want string
	}
	cases := map[string]struct {
		dependent bool
		before    *observation
		looks     []look
		problem   string
	}{
		"from waiting over written and rolling to moved": {
			dependent: true, before: at(0, old),
			looks: []look{
				{at(0, old), "waiting  0/3 old"},
				{at(1, old), "written  0/3 old"},
				{at(1, map[string]tally{"old": {3, 3}, "new": {1, 0}}), "rolling  0/3 old → new"},
				{at(1, map[string]tally{"old": {1, 1}, "new": {2, 2}}), "rolling  2/3 old → new"},
				{at(1, map[string]tally{"old": {1, 1}, "new": {3, 3}}), "rolling  3/3 old → new"},
				{at(1, map[string]tally{"new": {3, 2}}), "rolling  2/3 old → new"},
				{at(1, map[string]tally{"new": {3, 3}}), "moved  3/3 old → new"},
			},
		},
		"a dependent that stays where it is has not moved": {
			dependent: true, before: at(0, old),
			looks:   []look{{at(0, old), "waiting  0/3 old"}},
			problem: "w has not moved: it is waiting, with 0 of 3 new and Ready",
		},
		"a dependent that is stuck half way has not moved": {
			dependent: true, before: at(0, old),
			looks:   []look{{at(1, map[string]tally{"old": {2, 2}, "new": {2, 1}}), "rolling  1/3 old → new"}},
			problem: "w has not moved: it is rolling, with 1 of 3 new and Ready",
		},
		"a dependent that is rolled twice is wrong although it has moved": {
			dependent: true, before: at(0, old),
			looks: []look{
				{at(1, map[string]tally{"new": {3, 3}}), "moved  3/3 old → new"},
				{at(2, map[string]tally{"new": {2, 2}, "newer": {1, 1}}), "rolling  3/3 old → new, newer"},
				{at(2, map[string]tally{"newer": {3, 3}}), "moved  3/3 old → newer"},
			},
			problem: "w was carried the change 2 times",
		},
		"a bystander stays untouched, also when one of its pods is replaced": {
			before: at(0, old),
			looks: []look{
				{at(0, map[string]tally{"old": {3, 2}}), "untouched  0/3 old"},
				{at(0, old), "untouched  0/3 old"},
			},
		},
		"a bystander whose template changes is disturbed": {
			before:  at(0, old),
			looks:   []look{{at(1, old), "disturbed  0/3 old"}},
			problem: "w has changed, and nothing that it reads did (generation 1 → 2, revision old)",
		},
		"a bystander with pods of another revision is disturbed": {
			before:  at(0, old),
			looks:   []look{{at(0, map[string]tally{"old": {3, 3}, "new": {1, 0}}), "disturbed  0/3 old → new"}},
			problem: "w has changed, and nothing that it reads did (generation 1 → 1, revision old → new)",
		},
		"a CronJob moves when its new Job is complete, whatever earlier Jobs there are": {
			dependent: true, before: cron(map[string]tally{"w-1": {1, 1}}),
			looks: []look{
				{cron(map[string]tally{"w-1": {1, 1}}), "waiting  0/1 -"},
				{cron(map[string]tally{"w-1": {1, 1}, "w-2": {1, 0}}), "rolling  0/1 new Job w-2"},
				{cron(map[string]tally{"w-1": {1, 1}, "w-2": {1, 1}}), "moved  1/1 new Job w-2"},
			},
		},
		"a CronJob that runs twice is wrong": {
			dependent: true, before: cron(map[string]tally{}),
			looks: []look{
				{cron(map[string]tally{"w-1": {1, 1}, "w-2": {1, 1}}), "rolling  2/1 new Job w-1, w-2"},
			},
			problem: "w was carried the change 2 times",
		},
		"a CronJob that runs for nothing is disturbed": {
			before:  cron(map[string]tally{}),
			looks:   []look{{cron(map[string]tally{"w-1": {1, 0}}), "disturbed  0/1 new Job w-1"}},
			problem: "w has changed, and nothing that it reads did (generation 1 → 1, revision new Job w-1)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRow("w", tc.dependent, tc.before)
			var want, got []string
			for _, l := range tc.looks {
				r.observe(l.now, time.Second)
				want = append(want, l.want)
				got = append(got, fmt.Sprintf("%s  %d/%d %s", r.state, r.freshReady(), r.now.want, r.revision()))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.problem, r.problem()); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTimesAreThoseOfTheFirstSightOfBeingWrittenAndOfHavingMovedForGood(t *testing.T) {
	t.Parallel()
	r := newRow("w", true, at(0, map[string]tally{"old": {3, 3}}))
	moving, all := map[string]tally{"old": {1, 1}, "new": {2, 2}}, map[string]tally{"new": {3, 3}}
	var news []bool
	for i, o := range []*observation{at(1, moving), at(1, moving), at(1, all), at(1, moving), at(1, all), at(1, all)} {
		news = append(news, r.observe(o, time.Duration(i+1)*time.Second))
	}
	if diff := cmp.Diff([]time.Duration{time.Second, 5 * time.Second}, []time.Duration{r.written, r.moved}); diff != "" {
		t.Errorf("written, moved (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bool{true, false, true, true, true, false}, news); diff != "" {
		t.Errorf("is it news? (-want +got):\n%s", diff)
	}
}

func TestAWorkloadIsSettledOnlyWithAllItsPodsOfOneRevision(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o    *observation
		want bool
	}{
		"all of one revision and Ready": {at(0, map[string]tally{"a": {3, 3}}), true},
		"no pod yet":                    {at(0, nil), false},
		"one is not Ready":              {at(0, map[string]tally{"a": {3, 2}}), false},
		"one too many":                  {at(0, map[string]tally{"a": {4, 4}}), false},
		"two revisions":                 {at(0, map[string]tally{"a": {2, 2}, "b": {1, 1}}), false},
		"how many it wants is not known": {
			&observation{revisions: map[string]tally{"a": {0, 0}}}, false,
		},
		"a CronJob, which keeps no pods": {cron(nil), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.o.settled(); got != tc.want {
				t.Errorf("settled() = %t, want %t", got, tc.want)
			}
		})
	}
}

// scene is a chapter of a small application in which a changed Secret has been carried half way.
func scene() (table, []*row) {
	members := []member{
		{kind: "Deployment", name: "api", sources: []source{theConfig, theSecret}},
		{kind: "Deployment", name: "web", sources: []source{theConfig}},
		{kind: "StatefulSet", name: "ledger", sources: []source{theSecret}},
		{kind: "CronJob", name: "backup", sources: []source{theSecret}},
	}
	old := func() *observation { return at(0, map[string]tally{"111": {3, 3}}) }
	t := newTable(members, theSecret, world{
		"api": old(), "web": old(), "ledger": old(), "backup": cron(map[string]tally{"backup-1": {1, 1}}),
	})
	t.observe(members, world{
		"api": at(1, map[string]tally{"222": {3, 3}}), "web": old(), "ledger": at(1, map[string]tally{"111": {3, 3}}),
	}, 20*time.Millisecond)
	news := t.observe(members, world{
		"api": at(1, map[string]tally{"222": {3, 3}}), "web": old(),
		"ledger": at(1, map[string]tally{"111": {2, 2}, "333": {1, 1}}),
		"backup": cron(map[string]tally{"backup-1": {1, 1}, "backup-2": {1, 0}}),
	}, 1500*time.Millisecond)

	return t, news
}

const golden = `  WORKLOAD            REVISION          NEW PODS  STATE      WRITTEN  ALL NEW
  Deployment/api      111 → 222         3/3       moved      0.02 s   0.02 s
  Deployment/web      111               -         untouched
  StatefulSet/ledger  111 → 333         1/3       rolling    0.02 s
  CronJob/backup      new Job backup-2  0/1       rolling    1.50 s
`

func TestATableKnowsWhoDependsAndWhoHasNotMoved(t *testing.T) {
	t.Parallel()
	chapter, _ := scene()
	dependents, bystanders := chapter.count()
	if diff := cmp.Diff([]int{3, 1}, []int{dependents, bystanders}); diff != "" {
		t.Errorf("dependents, bystanders (-want +got):\n%s", diff)
	}
	if chapter.done() {
		t.Error("done() = true with two that have not moved")
	}
	want := []string{
		"StatefulSet/ledger has not moved: it is rolling, with 1 of 3 new and Ready",
		"CronJob/backup has not moved: it is rolling, with 0 of 1 new and Ready",
	}
	if diff := cmp.Diff(want, chapter.problems()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if err := problem(chapter); err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("problem() = %v", err)
	}
	if got := chapter.last(); got != 20*time.Millisecond {
		t.Errorf("last() = %s", got)
	}
}

func TestWithoutATerminalEachPieceOfNewsIsALineAndTheTableComesLast(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &screen{out: &out, size: func() (int, int, bool) { return 0, 0, false }}
	chapter, news := scene()
	s.sayf("%d.", 1)
	s.show(chapter, news, 1500*time.Millisecond)
	s.settle(chapter)
	want := "1.\n" +
		"   1.50 s  rolling    StatefulSet/ledger  111 → 333\n" +
		"   1.50 s  rolling    CronJob/backup      new Job backup-2\n\n" + golden
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestOnATerminalTheTableIsDrawnOverItself(t *testing.T) {
	t.Parallel()
	cleared := func(text string) string {
		return "\x1b[2K" + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n\x1b[2K") + "\n"
	}
	narrow := func(text string, width int) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			runes := []rune(strings.TrimSuffix(line, "\n"))
			b.WriteString(string(runes[:min(width, len(runes))]) + "\n")
		}

		return b.String()
	}
	cases := map[string]struct {
		width, height int
		want          string
	}{
		"which is wide enough": {100, 30, cleared(golden) + "\x1b[5A" + cleared(golden)},
		"cut where a line would wrap": {
			30, 30, cleared(narrow(golden, 30)) + "\x1b[5A" + cleared(narrow(golden, 30)),
		},
		"unless the table is higher than the terminal": {
			100, 5, "   1.50 s  rolling    StatefulSet/ledger  111 → 333\n" +
				"   1.50 s  rolling    CronJob/backup      new Job backup-2\n\n" + golden,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := &screen{out: &out, size: func() (int, int, bool) { return tc.width, tc.height, true }}
			chapter, news := scene()
			s.show(chapter, nil, 0)
			s.show(chapter, news, 1500*time.Millisecond)
			s.settle(chapter)
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if s.drawn != 0 {
				t.Error("the next table would be drawn over this one")
			}
		})
	}
}

func TestTheApplicationHasEveryKindAndABystanderForEachChange(t *testing.T) {
	t.Parallel()
	kinds, by := map[string]bool{}, map[source]int{}
	for _, m := range application() {
		kinds[m.kind] = true
		for _, s := range []source{theSecret, theConfig} {
			if !m.reads(s) {
				by[s]++
			}
		}
	}
	want := map[string]bool{"Deployment": true, "StatefulSet": true, "DaemonSet": true, "CronJob": true}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[source]int{theSecret: 2, theConfig: 5}, by); diff != "" {
		t.Errorf("bystanders (-want +got):\n%s", diff)
	}
}

func TestReplicasAreOneUnlessSaid(t *testing.T) {
	t.Parallel()
	if got := []int{replicas(nil), replicas(new(int32(4)))}; !cmp.Equal(got, []int{1, 4}) {
		t.Errorf("replicas = %v, want [1 4]", got)
	}
}

func TestAPodThatGoesOrIsAStrangersCountsForNobody(t *testing.T) {
	t.Parallel()
	w := world{"api": at(0, map[string]tally{})}
	pod := func(app string, edit func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{}
		p.Labels = map[string]string{appLabel: app, "controller-revision-hash": "api-123"}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		edit(p)

		return p
	}
	w.count(pod("api", func(*corev1.Pod) {}))
	w.count(pod("api", func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }))
	w.count(pod("api", func(p *corev1.Pod) { p.Labels["pod-template-hash"] = "456" }))
	w.count(pod("api", func(p *corev1.Pod) { p.DeletionTimestamp = &p.CreationTimestamp }))
	w.count(pod("other", func(*corev1.Pod) {}))
	want := map[string]tally{"123": {2, 1}, "456": {1, 1}}
	if diff := cmp.Diff(want, w["api"].revisions, cmp.AllowUnexported(tally{})); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
}
