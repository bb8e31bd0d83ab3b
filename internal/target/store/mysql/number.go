package mysql

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

var (
	integerForm = regexp.MustCompile(`^(-?[0-9]{1,20})([KkMmGgTtPpEe]?)$`)
	decimalForm = regexp.MustCompile(`^-?[0-9]{1,20}(\.([0-9]{1,20}))?$`)
)

// unitLetters are 2^10, 2^20 and so on. Only option files take them; SET GLOBAL takes none.
const unitLetters = "KMGTPE"

// wholeNumber reads an integer as option files have it: 64M is 67108864.
func wholeNumber(text string) (*big.Int, bool) {
	m := integerForm.FindStringSubmatch(text)
	if m == nil {
		return nil, false
	}
	n, ok := new(big.Int).SetString(m[1], 10)
	if !ok {
		return nil, false
	}
	if m[2] != "" {
		n.Lsh(n, uint(10*(1+strings.Index(unitLetters, strings.ToUpper(m[2])))))
	}

	return n, true
}

// integer is a variable that holds a whole number.
type integer struct {
	// min and max are nil where the server names none.
	min, max *big.Int
	// block is what the server rounds down to a multiple of; 1 if it does not.
	block int64
}

func newInteger(low, high, block string) integer {
	r := integer{block: 1}
	if n, ok := wholeNumber(low); ok {
		r.min = n
	}
	if n, ok := wholeNumber(high); ok {
		r.max = n
	}
	if n, err := strconv.ParseInt(block, 10, 64); err == nil && n > 1 {
		r.block = n
	}

	return r
}

func (r integer) literal(text string) (string, error) {
	n, ok := wholeNumber(text)
	if !ok {
		return "", r.refusal()
	}

	return n.String(), nil
}

func (r integer) refusal() error {
	return fmt.Errorf("takes a whole number%s, also with K, M, G, T, P or E behind it", between(text(r.min), text(r.max)))
}

func text(n *big.Int) string {
	if n == nil {
		return ""
	}

	return n.String()
}

// between says in which range a number has to be.
func between(low, high string) string {
	switch {
	case low != "" && high != "":
		return fmt.Sprintf(" from %s to %s", low, high)
	case low != "":
		return " from " + low + " on"
	case high != "":
		return " up to " + high
	default:
		return ""
	}
}

// Check refuses also what the server would silently make a multiple of its block size.
func (r integer) Check(text string) error {
	n, ok := wholeNumber(text)
	if !ok || r.min != nil && n.Cmp(r.min) < 0 || r.max != nil && n.Cmp(r.max) > 0 {
		return r.refusal()
	}
	block := big.NewInt(r.block)
	if new(big.Int).Mod(n, block).Sign() != 0 {
		return fmt.Errorf("takes multiples of %d: the nearest is %s", r.block, r.nearest(n, block))
	}

	return nil
}

// nearest is the multiple of the block that is closest to n and in the range.
func (r integer) nearest(n, block *big.Int) *big.Int {
	down := new(big.Int).Sub(n, new(big.Int).Mod(n, block))
	up := new(big.Int).Add(down, block)
	nearDown := new(big.Int).Sub(n, down).Cmp(new(big.Int).Sub(up, n)) <= 0
	switch {
	case r.min != nil && down.Cmp(r.min) < 0:
		return up
	case r.max != nil && up.Cmp(r.max) > 0, nearDown:
		return down
	default:
		return up
	}
}

func (r integer) Same(have, want string) bool {
	a, okA := wholeNumber(have)
	b, okB := wholeNumber(want)

	return okA && okB && a.Cmp(b) == 0
}

// places are how many decimal places the server tells of a number, and times have.
const places = 6

// decimal is a variable that holds a number with a fraction.
type decimal struct{ low, high string }

func (r decimal) refusal() error {
	return fmt.Errorf("takes a number%s with at most %d decimal places", between(r.low, r.high), places)
}

func (r decimal) literal(text string) (string, error) {
	if !decimalForm.MatchString(text) {
		return "", r.refusal()
	}

	return text, nil
}

func (r decimal) Check(text string) error {
	m := decimalForm.FindStringSubmatch(text)
	if m == nil || len(strings.TrimRight(m[2], "0")) > places {
		return r.refusal()
	}
	n := number(text)
	if low := number(r.low); low != nil && n.Cmp(low) < 0 {
		return r.refusal()
	}
	if high := number(r.high); high != nil && n.Cmp(high) > 0 {
		return r.refusal()
	}

	return nil
}

// number is nil for what is no number.
func number(text string) *big.Rat {
	if !decimalForm.MatchString(text) {
		return nil
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil
	}

	return n
}

func (r decimal) Same(have, want string) bool {
	a, b := number(have), number(want)

	return a != nil && b != nil && a.Cmp(b) == 0
}
