package httpconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"
)

// most is how much of an answer is read.
const most = 4 << 20

// rule is [live.Rule] of everything that an endpoint takes.
type rule struct {
	// json says that what is sent is declared to be JSON.
	json bool
	// read says that what is sent is read back.
	read bool
}

// Check implements [live.Rule].
func (r rule) Check(text string) error {
	if r.json && !json.Valid([]byte(text)) {
		return errors.New("takes JSON")
	}
	if r.read && len(text) > most {
		return fmt.Errorf("takes at most %d bytes, since no more is read back", most)
	}

	return nil
}

// Same implements [live.Rule].
func (r rule) Same(have, want string) bool {
	if strings.TrimSuffix(have, "\n") == strings.TrimSuffix(want, "\n") {
		return true
	}
	// A text such as 1.10 happens to be JSON too, and 1.1 is another one.
	if !r.json && (!document(have) || !document(want)) {
		return false
	}
	h, okHave := decode(have)
	w, okWant := decode(want)

	return okHave && okWant && equal(h, w)
}

// document says whether a text can only be JSON.
func document(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n")

	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
}

// decode keeps numbers as they are written.
func decode(text string) (any, bool) {
	if !json.Valid([]byte(text)) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any

	return v, d.Decode(&v) == nil
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)

		return ok && maps.EqualFunc(a, b, equal)
	case []any:
		b, ok := b.([]any)

		return ok && slices.EqualFunc(a, b, equal)
	case json.Number:
		b, ok := b.(json.Number)

		return ok && equalNumbers(a.String(), b.String())
	default:
		return a == b
	}
}

// equalNumbers compares whole numbers digit by digit, since large ones differ by less than a float can tell.
func equalNumbers(a, b string) bool {
	if a == b {
		return true
	}
	if whole(a) && whole(b) {
		return false
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)

	return errX == nil && errY == nil && x == y
}

func whole(number string) bool { return !strings.ContainsAny(number, ".eE") && number != "-0" }

// contentType is what a body is sent as.
func contentType(declared, body string) string {
	switch {
	case declared != "":
		return declared
	case json.Valid([]byte(body)):
		return "application/json"
	default:
		return "text/plain"
	}
}

// isJSON says whether a type of content is JSON.
func isJSON(declared string) bool {
	media, _, err := mime.ParseMediaType(declared)

	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}
