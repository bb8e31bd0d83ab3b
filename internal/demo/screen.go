package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	up        = "\x1b[%dA"
	clearLine = "\x1b[2K"
)

// screen draws tables: in place on a terminal, a line for each piece of news elsewhere.
type screen struct {
	out io.Writer
	// size is the terminal's; false when there is none. The window may change at any time.
	size func() (width, height int, ok bool)
	// drawn is how many lines of the table stand above the cursor.
	drawn int
}

// sayf writes a line of the story. A table that was drawn stays above it.
func (s *screen) sayf(format string, args ...any) {
	s.drawn = 0
	fmt.Fprintf(s.out, format+"\n", args...)
}

// show shows the table as it is now, so long after the change. The news is what is new in it.
func (s *screen) show(t table, news []*row, since time.Duration) {
	lines := t.lines()
	width, height, ok := s.size()
	if !ok || height <= len(lines) {
		s.tell(news, since)

		return
	}
	if s.drawn > 0 {
		fmt.Fprintf(s.out, up, s.drawn)
	}
	for _, line := range lines {
		// A line that wraps would be two, and the cursor in the wrong place.
		fmt.Fprintf(s.out, "%s%s\n", clearLine, cut(line, width))
	}
	s.drawn = len(lines)
}

func (s *screen) tell(news []*row, since time.Duration) {
	for _, r := range news {
		line := fmt.Sprintf("  %7s  %-9s  %-18s  %s", elapsed(since), r.state, r.workload, r.revision())
		fmt.Fprintln(s.out, strings.TrimRight(line, " "))
	}
}

// settle shows the last of a table.
func (s *screen) settle(t table) {
	if s.drawn == 0 {
		fmt.Fprintln(s.out)
		for _, line := range t.lines() {
			fmt.Fprintln(s.out, line)
		}
	}
	s.drawn = 0
}

func cut(line string, width int) string {
	runes := []rune(line)

	return string(runes[:min(len(runes), max(width, 0))])
}

// lines are the whole table as it is now, its head first.
func (t table) lines() []string {
	rows := make([][]string, 0, len(t)+1)
	rows = append(rows, []string{"WORKLOAD", "REVISION", "NEW PODS", "STATE", "WRITTEN", "ALL NEW"})
	for _, r := range t {
		pods := "-"
		if r.dependent {
			pods = fmt.Sprintf("%d/%d", r.freshReady(), r.now.want)
		}
		rows = append(rows,
			[]string{r.workload, r.revision(), pods, string(r.state), elapsed(r.written), elapsed(r.moved)})
	}

	return columns(rows)
}

// columns aligns cells.
func columns(rows [][]string) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) //nolint:mnd // two spaces part the columns
	for _, r := range rows {
		fmt.Fprintln(w, "  "+strings.Join(r, "\t"))
	}
	_ = w.Flush() // a Builder takes everything

	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}

	return lines
}

// elapsed is a time since the change; empty for one that has not come.
func elapsed(d time.Duration) string {
	if d == 0 {
		return ""
	}

	return fmt.Sprintf("%.2f s", d.Seconds())
}
