package live_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// told is a plan in words: a line for each step, finding, adoption and farewell, with everything that they have.
func told(p live.Plan) []string {
	var lines []string

	for _, f := range p.Findings {
		lines = append(lines, toldFinding(f))
	}

	for _, e := range p.Adopt {
		lines = append(lines, fmt.Sprintf("adopt %s for %q, there was %s", e.Place, e.Text, toldBefore(e)))
	}

	for _, s := range p.Made {
		lines = append(lines, "made: "+toldStep(s))
	}

	for _, s := range p.Steps {
		lines = append(lines, toldStep(s))
	}

	for _, place := range p.Drop {
		lines = append(lines, "let go of "+place.String())
	}

	return lines
}

func toldFinding(f live.Finding) string {
	words := []string{f.Place.String(), string(f.State)}

	if f.Message != "" {
		words[1] += ":"
		words = append(words, f.Message)
	}

	for _, digest := range []struct{ of, text string }{{"asked", f.Digest}, {"applied", f.Applied}, {"stored", f.Stored}} {
		if digest.text != "" {
			words = append(words, fmt.Sprintf("[%s %s]", digest.of, digest.text))
		}
	}

	if len(f.Awaits) > 0 {
		words = append(words, fmt.Sprintf("[awaits %s]", strings.Join(f.Awaits, " ")))
	}

	if f.Missing {
		words = append(words, "[missing]")
	}

	if f.Unreachable {
		words = append(words, "[unreachable]")
	}

	return strings.Join(words, " ")
}

func toldBefore(e live.Entry) string {
	if e.Hidden {
		return "something hidden"
	}

	return toldValue(e.Before)
}

func toldValue(v live.Value) string {
	if !v.Set {
		return "nothing"
	}

	return strconv.Quote(v.Text)
}

func toldStep(s live.Step) string {
	back := "from the record"
	if s.BackKnown {
		back = toldChange(s.Back)
	}

	return fmt.Sprintf("%s: %s since %s; back: %s", s.Place, toldChange(s.Change), s.Reason, back)
}

func toldChange(c live.Change) string {
	text := "unset"
	if c.To.Set {
		text = "set " + strconv.Quote(c.To.Text)
	}

	if c.Raw {
		text += " as stored"
	}

	if c.Keep {
		text += " beside the former"
	}

	return text
}

// readable is a digest that tells its text, for tests that are read.
func readable(text string) string { return "#" + text }

// numbers is the rule of a setting that takes whole numbers, also with leading zeros, which the store drops.
type numbers struct{ below int }

func (r numbers) Check(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("takes whole numbers")
	}

	if n < 0 || n >= r.below {
		return fmt.Errorf("takes numbers from 0, below %d", r.below)
	}

	return nil
}

func (numbers) Same(have, want string) bool { return canonical(have) == canonical(want) }

func canonical(number string) string {
	if n, err := strconv.Atoi(number); err == nil {
		return strconv.Itoa(n)
	}

	return number
}

// words is the rule of a setting that takes any text and keeps it as it is.
type words struct{}

func (words) Check(string) error { return nil }

func (words) Same(have, want string) bool { return have == want }

// verifiers is the rule of a password of which the store keeps a verifier.
type verifiers struct{}

func (verifiers) Check(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("is empty")
	}

	return nil
}

func (verifiers) Same(have, want string) bool { return have == verifier(want) }

func verifier(password string) string { return "V(" + password + ")" }
