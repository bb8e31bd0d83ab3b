package conditions_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lockstep-dev/lockstep/internal/conditions"
)

var (
	early = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	late  = early.Add(time.Hour)
)

func now() time.Time { return late.Add(5 * time.Millisecond) }

func condition(kind string, status metav1.ConditionStatus, reason string, since time.Time) metav1.Condition {
	return metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: reason + " it is", ObservedGeneration: 2,
		LastTransitionTime: metav1.NewTime(since),
	}
}

func TestReadyFollowsFromTheOthers(t *testing.T) {
	t.Parallel()

	type said struct {
		kind   string
		status metav1.ConditionStatus
	}

	cases := map[string]struct {
		say  []said
		want string
	}{
		"nothing said is ready": {want: "True Ready"},
		"all true is ready":     {say: []said{{"A", "True"}, {"B", "True"}}, want: "True Ready"},
		"one false is not":      {say: []said{{"A", "False"}, {"B", "True"}}, want: "False WhyA"},
		"one unknown is not":    {say: []said{{"A", "Unknown"}, {"B", "True"}}, want: "Unknown WhyA"},
		"false wins over unknown, whichever is said first": {
			say: []said{{"A", "False"}, {"B", "Unknown"}}, want: "False WhyA",
		},
		"the last wins among equals":         {say: []said{{"A", "False"}, {"B", "False"}}, want: "False WhyB"},
		"what is bad when true is not ready": {say: []said{{"A", "True"}, {"Stalled", "True"}}, want: "False WhyStalled"},
		"what is bad when true and is false is ready": {
			say: []said{{"A", "True"}, {"Stalled", "False"}}, want: "True Ready",
		},
		"what is bad when true can be unknown": {say: []said{{"Stalled", "Unknown"}}, want: "Unknown WhyStalled"},
		"only the last word on a condition counts": {
			say: []said{{"A", "False"}, {"B", "True"}, {"A", "True"}}, want: "True Ready",
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := conditions.New(nil, 2, now, "RolledBack", "Stalled")
			for _, one := range c.say {
				s.Set(one.kind, one.status, "Why"+one.kind, "")
			}

			ready := conditions.Find(s.Finish(), conditions.Ready)
			if diff := cmp.Diff(c.want, string(ready.Status)+" "+ready.Reason); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}

			again := s.Finish()
			if diff := cmp.Diff(s.All(), again); diff != "" || conditions.Find(again, conditions.Ready).Reason != ready.Reason {
				t.Errorf("finished twice it is another (-want +got)\n%s", diff)
			}
		})
	}
}

func TestAConditionKeepsItsTimeUntilItsStatusChanges(t *testing.T) {
	t.Parallel()

	before := []metav1.Condition{
		condition("Same", "True", "Former", early), condition("Other", "True", "Former", early),
		condition("Left", "False", "Former", early), condition(conditions.Ready, "False", "Former", early),
	}
	before[2].ObservedGeneration = 1

	s := conditions.New(before, 2, now)
	s.Set("Same", metav1.ConditionTrue, "New", "New it is")
	s.Set("Other", metav1.ConditionFalse, "New", "New it is")
	s.Keep("Left")
	s.Keep("Nothing")

	want := []metav1.Condition{
		condition("Same", "True", "New", early), condition("Other", "False", "New", late), before[2],
		condition(conditions.Ready, "False", "Former", early),
	}
	if diff := cmp.Diff(want, s.Finish()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	if got := s.Before("Other"); got == nil || got.Reason != "Former" {
		t.Errorf("before it was %v", got)
	}

	if diff := cmp.Diff(before, s.Former()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	fresh := s.Fresh()
	if got := fresh.All(); len(got) > 0 {
		t.Errorf("a fresh set has %v", got)
	}

	fresh.Set("Same", metav1.ConditionTrue, "New", "New it is")

	if diff := cmp.Diff(want[0], *fresh.Find("Same")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAMessageIsCutToWhatTheServerTakes(t *testing.T) {
	t.Parallel()

	s := conditions.New(nil, 1, now)
	s.Set("A", metav1.ConditionFalse, "Long", strings.Repeat("ä", 32<<10))

	if got := s.Find("A").Message; len(got) > 32<<10 || !utf8.ValidString(got) || !strings.HasSuffix(got, "ä…") {
		t.Errorf("it has %d bytes and ends in %q", len(got), got[len(got)-8:])
	}
}
