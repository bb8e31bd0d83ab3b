package httpconfig

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const exposition = `# HELP up Whether it is up.
# TYPE up gauge
up{job="shop",zone="a"} 1
up{job="shop",zone="b"} 0
up{job="other"} 7 1395066363000
# TYPE up_total counter
up_total 42
broken{ line
# TYPE took histogram
took_bucket{le="0.5"} 3
took_bucket{le="+Inf"} 5
took_sum 1.5
took_count 5
odd{text="a\"b\\c}"} NaN
prometheus_config_last_reload_successful 1`

func TestASeriesIsFoundInAnAnswer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]float64{
		"prometheus_config_last_reload_successful": {1},
		"up":                            {0, 1, 7},
		`up{job="shop"}`:                {0, 1},
		`up{zone="b",job="shop"}`:       {0},
		`up{job="none"}`:                nil,
		"up_total":                      {42},
		"took_count":                    {5},
		`took_bucket{le="+Inf"}`:        {5},
		"u":                             nil,
		"none":                          nil,
		`took_bucket{le="0.5"}`:         {3},
		`odd{text="another"}`:           nil,
		`took_sum`:                      {1.5},
		`prometheus_config_last_reload`: nil,
	} {
		s, err := readSeries(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)

			continue
		}
		got, err := s.values(exposition)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" || (want == nil) != errors.Is(err, errNoSeries) {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{"", " ", "a b", "a{", `a{b="c"} 1`, "a\nb", "# HELP a b", "{}", "1a", `a{b=c}`} {
		if s, err := readSeries(text); err == nil {
			t.Errorf("%q is taken for %+v", text, s)
		}
	}
	if s, err := readSeries(" up "); err != nil || s.name != "up" {
		t.Errorf("got %+v and %v", s, err)
	}
	s, _ := readSeries("up")
	if _, err := s.values("up{ canary\n"); err == nil || errors.Is(err, errNoSeries) || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

func FuzzNoAnswerIsTooOdd(f *testing.F) {
	f.Add("up", exposition)
	f.Add(`up{job="shop"}`, "up{job=\"shop\"} 1\n")
	f.Fuzz(func(t *testing.T, text, answer string) {
		s, err := readSeries(text)
		if err != nil {
			return
		}
		values, err := s.values(answer)
		if (err == nil) != (len(values) > 0) {
			t.Errorf("got %v and %v", values, err)
		}
	})
}
