package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of `go test -json`.
type event struct {
	Action  string `json:"Action"`
	Package string `json:"Package"`
	Test    string `json:"Test"`
	Output  string `json:"Output"`
}

// key names a test; the package itself has no test's name.
type key struct{ pkg, test string }

// report is what has been read so far.
type report struct {
	out  io.Writer
	kept map[key][]string // what a test has said, until its end shows whether anybody wants to read it

	passed, failed, skipped int
	packagesFailed          int
	err                     error // the first failure to write
}

// read takes events until in ends. A line that is no event is printed as it is: the go command itself speaks so.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)

	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				r.take(e)
			} else {
				r.print(string(line))
			}
		}

		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return fmt.Errorf("read the test events: %w", err)
		}
	}
}

func (r *report) take(e event) {
	k := key{pkg: e.Package, test: e.Test}

	switch e.Action {
	case "build-output":
		r.print(e.Output)
	case "output":
		r.output(k, e.Output)
	case "pass", "fail", "skip":
		r.end(k, e.Action)
	}
}

// output keeps what a test says. A package's closing line is printed at once: it is the progress.
func (r *report) output(k key, text string) {
	switch {
	case strings.HasPrefix(text, "=== "): // which test runs when; its name is in what follows
	case k.test != "":
		r.kept[k] = append(r.kept[k], text)
	case strings.HasPrefix(text, "ok  \t"), strings.HasPrefix(text, "FAIL\t"):
		r.print(text)
	case text == "PASS\n", text == "FAIL\n", strings.HasPrefix(text, "?   \t"), strings.HasPrefix(text, "coverage: "),
		strings.Contains(text, "\tcoverage: 0.0% of statements"):
	default:
		r.kept[k] = append(r.kept[k], text)
	}
}

// end counts a test and prints what it said unless it passed. A package counts only when it failed.
func (r *report) end(k key, action string) {
	said := r.kept[k]
	delete(r.kept, k)

	if k.test == "" {
		if action == "fail" {
			r.packagesFailed++
			r.print(said...)
		}

		return
	}

	switch action {
	case "pass":
		r.passed++
		return
	case "fail":
		r.failed++
	case "skip":
		r.skipped++
	}

	r.print(said...)
}

// flush prints what tests said that never ended: the process under test died.
func (r *report) flush() error {
	for _, k := range slices.SortedFunc(maps.Keys(r.kept), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
	}) {
		r.print(r.kept[k]...)
	}

	r.print(fmt.Sprintf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped))

	return r.err
}

func (r *report) verdict(requireAll bool) error {
	switch {
	case r.failed > 0, r.packagesFailed > 0:
		return fmt.Errorf("%d tests failed in %d packages", r.failed, r.packagesFailed)
	case r.passed+r.skipped == 0:
		return errors.New("no test ran")
	case requireAll && r.skipped > 0:
		return fmt.Errorf("%d tests were skipped where all are required", r.skipped)
	}

	return nil
}

func (r *report) print(texts ...string) {
	for _, text := range texts {
		if _, err := io.WriteString(r.out, text); err != nil && r.err == nil {
			r.err = fmt.Errorf("write the report: %w", err)
		}
	}
}
