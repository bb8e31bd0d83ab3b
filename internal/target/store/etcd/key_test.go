package etcd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
)

func TestASettingIsAKey(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		setting live.Setting
		key     string
		cause   live.Cause
	}{
		"by its name alone":                {setting: live.Setting{Name: "/app/level"}, key: "/app/level"},
		"by its prefix and its name":       {setting: live.Setting{Prefix: "/app/", Name: "level"}, key: "/app/level"},
		"also when it is no text":          {setting: live.Setting{Prefix: "\x00", Name: "\xff\n"}, key: "\x00\xff\n"},
		"but not without a name":           {cause: live.CauseUnknown},
		"nor with a section":               {setting: live.Setting{Who: "mon", Name: "a"}, cause: live.CauseUnknown},
		"nor with a database":              {setting: live.Setting{Database: "shop", Name: "a"}, cause: live.CauseUnknown},
		"nor with a role":                  {setting: live.Setting{Role: "app", Name: "a"}, cause: live.CauseUnknown},
		"nor is the password of a user it": {setting: live.Setting{Role: "app", Password: true}, cause: live.CauseUnknown},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, problem := keyOf(test.setting)
			var cause live.Cause
			if problem != nil {
				cause = problem.Cause
			}
			if got != test.key || cause != test.cause {
				t.Errorf("got %q and %q, want %q and %q", got, cause, test.key, test.cause)
			}
		})
	}
}

func TestAKeyHasOneSpellingHoweverItIsCutInTwo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.String().Draw(t, "key")
		cut := rapid.IntRange(0, len(whole)).Draw(t, "cut")
		got := Normalise(live.Setting{Prefix: whole[:cut], Name: whole[cut:]})
		if diff := cmp.Diff(live.Setting{Name: whole}, got); diff != "" {
			t.Errorf("setting (-want +got):\n%s", diff)
		}
	})
}

func TestTheRuleCountsBytesAndComparesThem(t *testing.T) {
	t.Parallel()
	r := ruleOf("key", "user")
	if err := r.Check(strings.Repeat("x", r.limit)); err != nil {
		t.Errorf("the largest value: %v", err)
	}
	err := r.Check(canary + strings.Repeat("x", r.limit))
	if err == nil || !strings.Contains(err.Error(), "1.5 MiB") {
		t.Errorf("a larger value: got %v, want the limit named", err)
	}
	hides(t, err)
	if err := ruleOf(strings.Repeat("k", requestLimit), "").Check("x"); err == nil {
		t.Error("there is room for a value beside a key that is a request by itself")
	}
	if !r.Same("a", "a") || r.Same("1", "1.0") || r.Same("", " ") {
		t.Error("it does not compare bytes")
	}
}
