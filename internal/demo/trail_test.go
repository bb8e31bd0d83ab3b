package demo

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// moment is so many seconds after the beginning.
func moment(n int) time.Time { return time.Unix(int64(n), 0) }

// hear is the trail of a store that said one of these each second, beginning with the first.
func hear(values ...string) trail {
	var t trail
	for n, value := range values {
		t, _ = t.with(sighting{at: moment(n), value: value})
	}

	return t
}

func TestATrailHasASightingForEachTimeThatTheStoreSaysSomethingElse(t *testing.T) {
	t.Parallel()
	var told trail
	var news []bool
	for n, value := range []string{"1", "1", "2", silent, silent, "2", "1"} {
		var isNews bool
		told, isNews = told.with(sighting{at: moment(n), value: value})
		news = append(news, isNews)
	}
	if diff := cmp.Diff([]bool{true, false, true, true, false, true, true}, news); diff != "" {
		t.Errorf("is it news? (-want +got):\n%s", diff)
	}
	want := trail{{moment(0), "1"}, {moment(2), "2"}, {moment(3), silent}, {moment(5), "2"}, {moment(6), "1"}}
	if diff := cmp.Diff(want, told, cmp.AllowUnexported(sighting{})); diff != "" {
		t.Errorf("trail (-want +got):\n%s", diff)
	}
}

func TestATrailTellsFromWhenOnAValueIsThereForGood(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		trail trail
		want  time.Time
		has   bool
	}{
		"from the first sight of it":                    {hear("1", "2", "2"), moment(1), true},
		"from its return, not from when it was there":   {hear("2", "1", "1", "2"), moment(3), true},
		"not when there is another by now":              {hear("2", "1"), time.Time{}, false},
		"not when the store has stopped answering":      {hear("1", "2", silent), time.Time{}, false},
		"from the answer on when it did not for a time": {hear("2", silent, silent, "2"), moment(3), true},
		"not when nothing was heard":                    {nil, time.Time{}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, has := tc.trail.since("2")
			if !got.Equal(tc.want) || has != tc.has {
				t.Errorf("since = %s, %t, want %s, %t", got, has, tc.want, tc.has)
			}
		})
	}
}

func TestATrailTellsWhenAValueWasThereFirstAfterAMoment(t *testing.T) {
	t.Parallel()
	told := hear("1", "2", "1", "2", "3")
	for name, tc := range map[string]struct {
		value string
		after int
		want  time.Time
		was   bool
	}{
		"the first time":                       {"2", 0, moment(1), true},
		"the time after, when it begins later": {"2", 1, moment(3), true},
		"not what is there since before":       {"3", 4, time.Time{}, false},
		"not what never was":                   {"4", 0, time.Time{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, was := told.first(tc.value, moment(tc.after))
			if !got.Equal(tc.want) || was != tc.was {
				t.Errorf("first = %s, %t, want %s, %t", got, was, tc.want, tc.was)
			}
		})
	}
}

func TestAStrayIsWhatAStoreSaidBesidesWhatItMaySayAfterAMoment(t *testing.T) {
	t.Parallel()
	told := hear("1", "2", "5", "3", silent, "5", "4", "2")
	for name, tc := range map[string]struct {
		after int
		may   []string
		want  []string
	}{
		"each once, and silence is none":  {0, []string{"2"}, []string{"5", "3", "4"}},
		"none from before":                {5, []string{"2"}, []string{"4"}},
		"none when it may say all of it":  {0, []string{"2", "3", "4", "5"}, nil},
		"all of it when it may say none ": {5, nil, []string{"4", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, told.strays(moment(tc.after), tc.may...)); diff != "" {
				t.Errorf("strays (-want +got):\n%s", diff)
			}
		})
	}
}

func TestACallThatFailedHasNotSucceeded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		statistics string
		want       int
		wrong      bool
	}{
		"some have failed": {"calls=7,usec=90,usec_per_call=12.86,rejected_calls=4,failed_calls=2", 5, false},
		"none has":         {"calls=7,usec=90,usec_per_call=12.86,rejected_calls=0,failed_calls=0", 7, false},
		"never called":     {"", 0, false},
		"no number":        {"calls=many", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := succeeded(tc.statistics)
			if got != tc.want || (err != nil) != tc.wrong {
				t.Errorf("succeeded = %d, %v, want %d", got, err, tc.want)
			}
		})
	}
}

func TestEachValueOfTheLiveStoryIsThereOnce(t *testing.T) {
	t.Parallel()
	for store := range theFirst() {
		asked, says := map[string]bool{}, map[string]bool{}
		for _, amounts := range [][]amount{theFirst(), theEdited(), theRefused(), theMended(), theFrozen()} {
			a := amounts[store]
			if asked[a.asked] || says[a.says] {
				t.Errorf("%v of store %d is there twice", a, store)
			}
			asked[a.asked], says[a.says] = true, true
		}
	}
}
