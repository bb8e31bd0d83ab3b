package ceph

import (
	"errors"
	"math"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
)

var (
	whole   = regexp.MustCompile(`^([+-]?[0-9]+)([KMGTPE]?)$`)
	size    = regexp.MustCompile(`^([+-]?[0-9]+)(?:([KMGTPE])[iB]?|B)?$`)
	decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
)

const (
	wantsWhole    = "has to be a whole number such as 250 or 10K, where K, M, G, T, P and E are powers of 1000"
	wantsPositive = "has to be a whole number that is not negative, such as 250 or 10K, where K, M, G, T, P and E are powers of 1000"
	wantsSize     = "has to be a size such as 4294967296, 4096M or 4G, where K, M, G, T, P and E are powers of 1024; an i or a B may follow, but not both"
	wantsDecimal  = "has to be a number such as 0.85, without blanks around it"
	wantsMillis   = "has to be a number of milliseconds, without a unit"
)

// readInt reads a whole number with a unit of 1000.
func readInt(text string) (int64, error) {
	wrong := errors.New(wantsWhole)

	match := whole.FindStringSubmatch(text)
	if match == nil {
		return 0, wrong
	}

	value, err := strconv.ParseInt(match[1], 10, 64)
	factor := power(int64(1000), match[2])

	if err != nil || value > math.MaxInt64/factor || value < math.MinInt64/factor {
		return 0, wrong
	}

	return value * factor, nil
}

// readUint is as readInt.
func readUint(text string) (uint64, error) {
	return readUnsigned(text, whole, 1000, wantsPositive)
}

// readSize reads a number of bytes with a unit of 1024. Newer releases than 16 take 4GiB too.
func readSize(text string) (uint64, error) {
	return readUnsigned(text, size, 1024, wantsSize)
}

// readUnsigned reads a number of at most 63 bits. Ceph takes more by means of a unit, and stores what it then cannot read.
func readUnsigned(text string, pattern *regexp.Regexp, base uint64, wants string) (uint64, error) {
	match := pattern.FindStringSubmatch(text)
	if match == nil {
		return 0, errors.New(wants)
	}

	value, err := strconv.ParseUint(strings.TrimPrefix(match[1], "+"), 10, 63)
	factor := power(base, match[2])

	if err != nil || value > math.MaxInt64/factor {
		return 0, errors.New(wants)
	}

	return value * factor, nil
}

// power is the factor that a unit stands for: none is 1, K is the base.
func power[T int64 | uint64](base T, unit string) T {
	factor := T(1)

	if unit != "" {
		for range strings.Index("KMGTPE", unit) + 1 {
			factor *= base
		}
	}

	return factor
}

// readPowerOfTwo is as readUint.
func readPowerOfTwo(text string) (uint64, error) {
	value, err := readUint(text)
	if err == nil && bits.OnesCount64(value) != 1 {
		return 0, errors.New("has to be a power of two")
	}

	return value, err
}

// readFloat reads a number of which Ceph keeps every digit: it stores six after the point and forgets the others.
func readFloat(text string) (float64, error) {
	if !decimal.MatchString(text) {
		return 0, errors.New(wantsDecimal)
	}

	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, errors.New(wantsDecimal)
	}

	if kept, err := strconv.ParseFloat(strconv.FormatFloat(value, 'f', 6, 64), 64); err != nil || kept != value {
		return 0, errors.New("has to be a number with no more than six digits after the point: Ceph keeps no more")
	}

	return value, nil
}

func showFloat(value float64) string { return strconv.FormatFloat(value, 'g', -1, 64) }

func readMilliseconds(text string) (uint64, error) {
	value, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, errors.New(wantsMillis)
	}

	return value, nil
}

// timespan is one part of a duration, with the blanks that Ceph lets be around it.
var timespan = regexp.MustCompile(`^\s*([0-9]+)\s*([a-z]*)\s*`)

// readSeconds reads a duration such as "90", "1h30m" or "2 hours", in seconds.
func readSeconds(text string) (int64, error) {
	wrong := errors.New("has to be a duration such as 90 (seconds), 90s, 5m, 1h30m or 2 days")

	if text == "" {
		return 0, wrong
	}

	var sum int64

	for text != "" {
		match := timespan.FindStringSubmatch(text)
		if match == nil {
			return 0, wrong
		}

		value, err := strconv.ParseInt(match[1], 10, 64)
		factor, known := seconds(match[2])

		if err != nil || !known || value > (math.MaxInt64-sum)/factor {
			return 0, wrong
		}

		sum += value * factor
		text = text[len(match[0]):]
	}

	return sum, nil
}

// seconds of a unit, in all its spellings.
func seconds(unit string) (int64, bool) {
	const (
		minute = 60
		hour   = 60 * minute
		day    = 24 * hour
	)

	switch unit {
	case "", "s", "sec", "second", "seconds":
		return 1, true
	case "m", "min", "minute", "minutes":
		return minute, true
	case "h", "hr", "hour", "hours":
		return hour, true
	case "d", "day", "days":
		return day, true
	case "w", "wk", "week", "weeks":
		return 7 * day, true
	case "mo", "month", "months":
		return 30 * day, true
	case "y", "yr", "year", "years":
		return 365 * day, true
	default:
		return 0, false
	}
}
