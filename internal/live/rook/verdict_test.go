package rook

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

func TestVerdictOf(t *testing.T) {
	t.Parallel()

	ready := func(status metav1.ConditionStatus, reason, message string) []metav1.Condition {
		return []metav1.Condition{{Type: "Ready", Status: status, Reason: reason, Message: message}}
	}
	history := []lockstepv1alpha1.LiveChange{{Revision: 3, Changed: []string{"mon/a", "mon/b"}}}

	cases := map[string]struct {
		status lockstepv1alpha1.LiveConfigStatus
		want   Verdict
		text   string
	}{
		"nothing is known yet": {want: Verdict{}, text: "LiveConfig c: "},
		"all is well": {
			status: lockstepv1alpha1.LiveConfigStatus{Revision: 3, History: history, Conditions: ready(metav1.ConditionTrue, "Ready", "")},
			want:   Verdict{Status: metav1.ConditionTrue, Reason: "Applied", Revision: 3, Changed: "mon/a, mon/b"},
			text:   "LiveConfig c: revision 3 is in force, which changed mon/a, mon/b",
		},
		"the last change is not the one in force": {
			status: lockstepv1alpha1.LiveConfigStatus{Revision: 2, History: history, Conditions: ready(metav1.ConditionTrue, "Ready", "")},
			want:   Verdict{Status: metav1.ConditionTrue, Reason: "Applied", Revision: 2}, text: "LiveConfig c: revision 2 is in force",
		},
		"something is wrong": {
			status: lockstepv1alpha1.LiveConfigStatus{Revision: 2, Conditions: ready(metav1.ConditionFalse, "Refused", "mon/a is not a number")},
			want:   Verdict{Status: metav1.ConditionFalse, Reason: "Refused", Message: "mon/a is not a number", Revision: 2},
			text:   "LiveConfig c: mon/a is not a number",
		},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := VerdictOf(&lockstepv1alpha1.LiveConfig{Status: test.status})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}

			if text := got.Text("c"); text != test.text {
				t.Errorf("text %q, want %q", text, test.text)
			}
		})
	}
}

func TestNews(t *testing.T) {
	t.Parallel()

	well := Verdict{Status: metav1.ConditionTrue, Reason: "Applied", Message: "a", Revision: 1}
	bad := Verdict{Status: metav1.ConditionFalse, Reason: "Refused", Message: "a", Revision: 1}
	waits := Verdict{Status: metav1.ConditionUnknown, Reason: "Pending", Message: "a", Revision: 1}
	with := func(v Verdict, change func(*Verdict)) Verdict {
		change(&v)

		return v
	}

	cases := map[string]struct {
		former, now Verdict
		want        bool
	}{
		"nothing is known":                    {now: Verdict{}},
		"it is known that all is well":        {now: well, want: true},
		"all is well as before":               {former: well, now: well},
		"all is well in other words":          {former: well, now: with(well, func(v *Verdict) { v.Message = "b" })},
		"a change was made":                   {former: well, now: with(well, func(v *Verdict) { v.Revision = 2 }), want: true},
		"something went wrong":                {former: well, now: bad, want: true},
		"the same is wrong":                   {former: bad, now: bad},
		"the same is wrong in a later change": {former: bad, now: with(bad, func(v *Verdict) { v.Revision = 2 })},
		"it is wrong for another reason":      {former: bad, now: with(bad, func(v *Verdict) { v.Message = "b" }), want: true},
		"it waits":                            {former: well, now: waits, want: true},
		"it is mended":                        {former: bad, now: well, want: true},
		"it is forgotten":                     {former: well, now: Verdict{}},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := test.now.News(test.former); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
