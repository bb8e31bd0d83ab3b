package postgres

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// spaces are what C calls white space.
const spaces = " \t\n\v\f\r"

// errNumber, errUnit and errSize are why a text is not a number for a setting.
var (
	errNumber = errors.New("is no number")
	errUnit   = errors.New("has a unit that the setting does not take")
	errSize   = errors.New("is too large for an integer")
)

var (
	// integerText is the beginning that C's strtol takes, with a base of its own choice.
	integerText = regexp.MustCompile(`^[ \t\n\v\f\r]*([+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*))`)
	// realText is the beginning that C's strtod takes. Infinity and not-a-number are left out: no setting takes them.
	realText = regexp.MustCompile(`^[ \t\n\v\f\r]*([+-]?(?:` +
		`0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?|` +
		`(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))`)
)

// unit is a unit of memory or time.
type unit struct {
	name string
	size float64
}

// memory has the units of memory in bytes, the largest first.
func memory() []unit {
	return []unit{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1}}
}

// duration has the units of time in microseconds, the largest first.
func duration() []unit {
	return []unit{{"d", 86400e6}, {"h", 3600e6}, {"min", 60e6}, {"s", 1e6}, {"ms", 1e3}, {"us", 1}}
}

// unitsOf returns the units that a setting takes whose values are in base, such as 8kB or ms, and the size of base; none
// for a setting without a unit.
func unitsOf(base string) ([]unit, float64) {
	name := strings.TrimLeft(base, "0123456789")
	count := 1.0

	if digits := strings.TrimSuffix(base, name); digits != "" {
		count, _ = strconv.ParseFloat(digits, 64) // digits alone are a number
	}

	for _, units := range [][]unit{memory(), duration()} {
		for _, u := range units {
			if u.name == name {
				return units, count * u.size
			}
		}
	}

	return nil, 0
}

// number reads a number as the server does, in the unit base, which is empty for a setting without a unit. It follows
// parse_int and parse_real of the server's guc.c in everything, so that what is accepted here is accepted there and means
// the same.
func number(text, base string, whole bool) (float64, error) {
	value, rest, ok := leadingReal(text)
	if whole {
		value, rest, ok = leadingInteger(text)
	}

	if !ok {
		return 0, errNumber
	}

	if rest = strings.Trim(rest, spaces); rest != "" {
		if value, ok = convert(value, rest, base); !ok {
			return 0, errUnit
		}
	}

	if !whole {
		return value, nil
	}

	value = math.RoundToEven(value)
	if value > math.MaxInt32 || value < math.MinInt32 {
		return 0, errSize
	}

	return value, nil
}

// leadingInteger reads the whole number with which the text begins; one with a fraction or an exponent, or a very large one,
// is read as a real one.
func leadingInteger(text string) (value float64, rest string, ok bool) {
	match := integerText.FindStringSubmatchIndex(text)
	if match == nil {
		if strings.HasPrefix(text, ".") {
			return leadingReal(text)
		}

		return 0, "", false
	}

	rest = text[match[1]:]

	n, err := strconv.ParseInt(text[match[2]:match[3]], 0, 64)
	if err != nil || strings.HasPrefix(strings.ToLower(rest), "e") || strings.HasPrefix(rest, ".") {
		return leadingReal(text)
	}

	return float64(n), rest, true
}

// leadingReal reads the number with which the text begins.
func leadingReal(text string) (value float64, rest string, ok bool) {
	match := realText.FindStringSubmatchIndex(text)
	if match == nil {
		return 0, "", false
	}

	digits := strings.ToLower(text[match[2]:match[3]])
	if strings.Contains(digits, "0x") && !strings.Contains(digits, "p") {
		digits += "p0" // Go wants an exponent, C does not
	}

	value, err := strconv.ParseFloat(digits, 64)

	mantissa, _, _ := strings.Cut(strings.TrimLeft(digits, "+-0x"), exponentOf(digits))
	const smallest = 0x1p-1022
	if err != nil || math.Abs(value) < smallest && strings.Trim(mantissa, "0.") != "" {
		return 0, "", false // too large or too small
	}

	return value, text[match[1]:], true
}

// exponentOf is the letter that begins the exponent.
func exponentOf(digits string) string {
	if strings.Contains(digits, "0x") {
		return "p"
	}

	return "e"
}

// convert turns a value in the named unit into the unit base. A fraction is rounded to the next smaller unit, as the
// server does it: 30.1GB is a whole number of megabytes.
func convert(value float64, name, base string) (float64, bool) {
	units, size := unitsOf(base)

	for i, u := range units {
		if u.name != name {
			continue
		}

		value *= u.size / size

		if i+1 < len(units) {
			smaller := units[i+1].size / size
			value = math.RoundToEven(value/smaller) * smaller
		}

		return value, true
	}

	return 0, false
}
