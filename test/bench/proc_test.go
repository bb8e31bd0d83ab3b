package main

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMemoryIsReadFromTheStatusOfAProcess(t *testing.T) {
	t.Parallel()
	const status = "Name:\tlockstep\nVmHWM:\t   90000 kB\nVmRSS:\t   70000 kB\nRssAnon:\t   30000 kB\nRssFile:\t   40000 kB\n"
	got, err := parseMemory(status)
	if err != nil {
		t.Fatal(err)
	}
	want := memory{Resident: 70000 << 10, Anonymous: 30000 << 10, File: 40000 << 10, Peak: 90000 << 10}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, bad := range map[string]string{
		"a field is missing, as of a process that has ended": "Name:\tlockstep\nState:\tZ (zombie)\n",
		"a field is no number":                               "VmRSS:\t many kB\n",
	} {
		if m, err := parseMemory(bad); err == nil {
			t.Errorf("%s: read %+v", name, m)
		}
	}
}

func TestCPUTimeIsTheSumOfUserAndSystemTime(t *testing.T) {
	t.Parallel()
	// A name may hold blanks and parentheses.
	const stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 1 0 123 45 0 0 20 0 9 0 100 200 300"
	got, err := parseCPU(stat)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1680 * time.Millisecond; got != want {
		t.Errorf("parseCPU = %v, want %v", got, want)
	}
	for _, bad := range []string{"42 (a) S 1", "42 (a) S 1 42 42 0 -1 4194560 900 0 1 0 x 45 0"} {
		if got, err := parseCPU(bad); err == nil {
			t.Errorf("parseCPU(%q) = %v, want an error", bad, got)
		}
	}
}

func TestTheOwnProcessCanBeRead(t *testing.T) {
	t.Parallel()
	m, err := readMemory(os.Getpid())
	if err != nil || m.Resident <= 0 || m.Peak <= 0 {
		t.Errorf("readMemory = %+v, %v", m, err)
	}
	if _, err := readCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if machineMemory() <= 0 {
		t.Error("the machine has no memory")
	}
}
