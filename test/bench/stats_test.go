package main

import (
	"math"
	"testing"
)

func TestAQuantileIsAValueThatWasMeasured(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	cases := map[string]struct {
		samples []float64
		q, want float64
	}{
		"the middle of an odd number":               {samples: []float64{3, 1, 2}, q: 0.5, want: 2},
		"the lower middle of an even number":        {samples: []float64{4, 1, 3, 2}, q: 0.5, want: 2},
		"the 99th of a hundred":                     {samples: hundred, q: 0.99, want: 99},
		"the largest of fewer than a hundred":       {samples: []float64{5, 9, 7}, q: 0.99, want: 9},
		"the smallest for zero":                     {samples: []float64{5, 9, 7}, q: 0, want: 5},
		"the largest for one":                       {samples: []float64{5, 9, 7}, q: 1, want: 9},
		"not a number when nothing was measured":    {q: 0.5, want: math.NaN()},
		"the only sample, whatever the quantile is": {samples: []float64{4}, q: 0.01, want: 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := quantile(c.samples, c.q); !same(got, c.want) {
				t.Errorf("quantile(%v, %v) = %v, want %v", c.samples, c.q, got, c.want)
			}
		})
	}
}

func TestSummariesOfSamples(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		samples                []float64
		median, largest, total float64
	}{
		"an odd number":               {samples: []float64{9, 1, 2}, median: 2, largest: 9, total: 12},
		"an even number":              {samples: []float64{4, 1, 3, 2}, median: 2.5, largest: 4, total: 10},
		"nothing measured is no zero": {median: math.NaN(), largest: math.NaN(), total: math.NaN()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := []float64{median(c.samples), largest(c.samples), total(c.samples)}
			for i, want := range []float64{c.median, c.largest, c.total} {
				if !same(got[i], want) {
					t.Errorf("median, largest, total = %v, want %v, %v, %v", got, c.median, c.largest, c.total)
				}
			}
		})
	}
}

// same compares exactly, and takes two that are not numbers for the same.
func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
