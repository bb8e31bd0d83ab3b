package postgres

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestANumberMeansWhatItMeansToTheServer(t *testing.T) {
	t.Parallel()

	type result struct {
		Value float64
		Err   error
	}

	cases := map[string]struct {
		text, base string
		real       bool
		want       result
	}{
		"a unit is converted to that of the setting":                {text: "64MB", base: "8kB", want: result{Value: 8192}},
		"a value without a unit is in that of the setting":          {text: "4096", base: "kB", want: result{Value: 4096}},
		"blanks may surround number and unit":                       {text: " \t5 min\n", base: "s", want: result{Value: 300}},
		"units of time go down to microseconds":                     {text: "1500us", base: "ms", want: result{Value: 2}},
		"half a unit is rounded to the even one":                    {text: "2500us", base: "ms", want: result{Value: 2}},
		"a day is in minutes too":                                   {text: "1d", base: "min", want: result{Value: 1440}},
		"bytes of a setting in pages are rounded":                   {text: "12288B", base: "8kB", want: result{Value: 2}},
		"a fraction is rounded to the next smaller unit":            {text: "30.1GB", base: "kB", want: result{Value: 31561728}},
		"a whole number may be hexadecimal":                         {text: "0x1F", want: result{Value: 31}},
		"a whole number may be octal":                               {text: "010", want: result{Value: 8}},
		"a fraction makes it decimal":                               {text: "010.5", want: result{Value: 10}},
		"a whole number may have an exponent":                       {text: "1e3", want: result{Value: 1000}},
		"a real number keeps its fraction":                          {text: "0.25", real: true, want: result{Value: 0.25}},
		"a real number has units too":                               {text: "1.5s", base: "ms", real: true, want: result{Value: 1500}},
		"a negative number stays negative":                          {text: "-1", base: "ms", want: result{Value: -1}},
		"units are spelt exactly":                                   {text: "1Mb", base: "kB", want: result{Err: errUnit}},
		"a unit of time is none of memory":                          {text: "1s", base: "kB", want: result{Err: errUnit}},
		"a setting without a unit takes none":                       {text: "1kB", want: result{Err: errUnit}},
		"nine is no octal digit":                                    {text: "09", want: result{Err: errUnit}},
		"more than an integer holds is too large":                   {text: "3000000000", base: "kB", want: result{Err: errSize}},
		"also when the unit makes it so":                            {text: "3TB", base: "B", want: result{Err: errSize}},
		"more than 64 bits are too large, not wrong":                {text: "99999999999999999999", want: result{Err: errSize}},
		"no number is none":                                         {text: "banana", want: result{Err: errNumber}},
		"nothing is no number":                                      {text: "", want: result{Err: errNumber}},
		"infinity is no number":                                     {text: "inf", real: true, want: result{Err: errNumber}},
		"a real number that is too small for a computer is refused": {text: "1e-999", real: true, want: result{Err: errNumber}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			value, err := number(test.text, test.base, !test.real)
			if diff := cmp.Diff(test.want, result{value, err}, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" { //nolint:errorlint // they are variables
				t.Errorf("number (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARealNumberIsPrintedAsTheServerPrintsIt(t *testing.T) {
	t.Parallel()

	for value, want := range map[float64]string{
		0: "0", 1: "1", 0.5: "0.5", 1.23456789: "1.23457", 1e10: "1e+10", 0.00001: "1e-05", 100: "100", 123456: "123456",
		1234567: "1.23457e+06", math.MaxFloat64: "1.79769e+308", -2.5: "-2.5",
	} {
		if got := printed(value); got != want {
			t.Errorf("%v: got %s, want %s", value, got, want)
		}
	}
}

func FuzzANumberIsReadTheSameWithItsUnitSpeltOut(f *testing.F) {
	for _, text := range []string{"1", "0x10", "1.5", " 7", "1e3", "-1", ".5", "010"} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		bare, err := number(text, "kB", true)
		if err != nil {
			return
		}

		// A number that ends with its digits means the same with the base unit after it.
		if _, rest, _ := leadingInteger(text); rest != "" {
			return
		}

		if spelt, err := number(text+"kB", "kB", true); err != nil || spelt != bare {
			t.Errorf("%q is %v alone, and %v (%v) with its unit", text, bare, spelt, err)
		}
	})
}

func FuzzReadingANumberNeverPanics(f *testing.F) {
	f.Add("64MB", "8kB", true)
	f.Add("0x", "", false)
	f.Fuzz(func(_ *testing.T, text, base string, whole bool) { _, _ = number(text, base, whole) })
}

func TestAListOfNamesComesApartAsItIsPutTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`[^\x00"]{1,8}|"[a-z ]*`), 1, 5).Draw(t, "names")
		paths := rapid.Bool().Draw(t, "paths")

		quoted := make([]string, len(names))
		for i, name := range names {
			quoted[i] = identifier(name)
		}

		text := strings.Join(quoted, rapid.SampledFrom([]string{",", ", ", " ,\t"}).Draw(t, "comma"))

		got, ok := splitNames(text, paths)
		if diff := cmp.Diff(names, got); !ok || diff != "" {
			t.Fatalf("splitNames(%q) (-want +got):\n%s", text, diff)
		}
	})
}
