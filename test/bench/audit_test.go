package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	patchLine = `{"verb":"patch","user":{"username":"us"},"objectRef":{"resource":"deployments"}}` + "\n"
	scaleLine = `{"verb":"update","user":{"username":"us"},"objectRef":{"resource":"deployments","subresource":"scale"}}` + "\n"
	plainLine = `{"verb":"get","user":{"username":"us"},"requestURI":"/version"}` + "\n"
	otherLine = `{"verb":"list","user":{"username":"them"},"objectRef":{"resource":"secrets"}}` + "\n"
)

func TestRequestsAreCountedByUserVerbAndResourceAsTheLogGrows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	log, err := openAudit(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.close() }()
	steps := []struct {
		what, write string
		want        requests
	}{
		{what: "an empty log", want: nil},
		{what: "a line and half of the next", write: patchLine + scaleLine[:20], want: requests{"patch deployments": 1}},
		{
			what: "the other half", write: scaleLine[20:],
			want: requests{"patch deployments": 1, "update deployments/scale": 1},
		},
		{
			what: "a path without an object, and another user", write: plainLine + otherLine + patchLine,
			want: requests{"patch deployments": 2, "update deployments/scale": 1, "get (discovery)": 1},
		},
	}
	for _, step := range steps {
		if _, err := file.WriteString(step.write); err != nil {
			t.Fatal(err)
		}
		got, err := log.of("us")
		if err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
	}
}

func TestALineThatIsNotARequestBreaksTheCount(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"no JSON": "hello\n", "no verb": `{"user":{"username":"us"}}` + "\n", "no user": `{"verb":"get"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &auditLog{counts: map[string]requests{}, latest: map[string]time.Time{}}
			if err := l.add([]byte(line)); err == nil {
				t.Errorf("add(%q) took it", line)
			}
		})
	}
}

func TestRequestsAreSubtractedSummedAndListed(t *testing.T) {
	t.Parallel()
	before := requests{"list secrets": 2, "patch deployments": 1}
	after := requests{"list secrets": 2, "patch deployments": 4, "create events": 3, "create jobs": 1}
	got := after.since(before)
	if diff := cmp.Diff(requests{"patch deployments": 3, "create events": 3, "create jobs": 1}, got); diff != "" {
		t.Errorf("since (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{7, 4, 0}, []int{got.all(), got.verbs("create"), got.verbs("list", "watch")}); diff != "" {
		t.Errorf("all, creates, reads (-want +got):\n%s", diff)
	}
	if want := "3 create events, 3 patch deployments, 1 create jobs"; got.String() != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if want := "none"; (requests{}).String() != want {
		t.Errorf("String() of nothing = %q, want %q", requests{}, want)
	}
}
