package digest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/digest"
)

func TestSumIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		s := digest.Sum(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "sum"))

		if len(s.String()) != 22 {
			t.Errorf("%s has %d characters, want 22", s, len(s.String()))
		}

		got, err := digest.ParseSum(s.String())
		if err != nil || got != s {
			t.Errorf("ParseSum(%s) = %s, %v", s, got, err)
		}

		text, err := json.Marshal(map[string]digest.Sum{"a": s})
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}

		var back map[string]digest.Sum
		if err := json.Unmarshal(text, &back); err != nil || back["a"] != s {
			t.Errorf("%s read back as %s, %v", text, back["a"], err)
		}
	})
}

func TestParseSumRefuses(t *testing.T) {
	t.Parallel()

	valid := digest.Sum{1, 2, 3}.String()

	cases := map[string]string{
		"nothing":                     "",
		"too little":                  valid[:21],
		"too much":                    valid + "A",
		"another alphabet":            strings.Repeat("+", 22),
		"bits that belong to no byte": valid[:21] + "B",
		"line breaks":                 "\n\n" + valid[:20],
	}

	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got, err := digest.ParseSum(text); err == nil || !got.IsZero() {
				t.Errorf("ParseSum(%q) = %s, %v; want the zero Sum and an error", text, got, err)
			}

			var s digest.Sum
			if err := s.UnmarshalText([]byte(text)); err == nil {
				t.Errorf("UnmarshalText(%q) went through", text)
			}
		})
	}
}

func FuzzParseSum(f *testing.F) {
	f.Add("")
	f.Add(digest.Sum{1}.String())
	f.Fuzz(func(t *testing.T, text string) {
		s, err := digest.ParseSum(text)
		if err == nil && s.String() != text {
			t.Errorf("%q was read as %s", text, s)
		}
	})
}
