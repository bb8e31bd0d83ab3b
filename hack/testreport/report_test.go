package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		args   []string
		events []string
		want   string
		err    string
	}{
		"a passing package is one line and its tests are counted": {
			events: []string{
				`{"Action":"output","Package":"a","Test":"TestOne","Output":"=== RUN   TestOne\n"}`,
				`{"Action":"pass","Package":"a","Test":"TestOne"}`,
				`{"Action":"output","Package":"a","Output":"PASS\n"}`,
				`{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}`,
				`{"Action":"pass","Package":"a"}`,
			},
			want: "ok  \ta\t0.1s\n1 passed, 0 failed, 0 skipped\n",
		},
		"a failing test shows what it said": {
			events: []string{
				`{"Action":"output","Package":"a","Test":"TestOne","Output":"wrong\n"}`,
				`{"Action":"fail","Package":"a","Test":"TestOne"}`,
				`{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}`,
				`{"Action":"fail","Package":"a"}`,
			},
			want: "wrong\nFAIL\ta\t0.1s\n0 passed, 1 failed, 0 skipped\n",
			err:  "1 tests failed in 1 packages",
		},
		"a package that dies between its tests shows what it said": {
			events: []string{
				`{"Action":"output","Package":"a","Output":"no control plane\n"}`,
				`{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}`,
				`{"Action":"fail","Package":"a"}`,
			},
			want: "FAIL\ta\t0.1s\nno control plane\n0 passed, 0 failed, 0 skipped\n",
			err:  "0 tests failed in 1 packages",
		},
		"a package that does not build shows the compiler's words": {
			events: []string{
				`{"ImportPath":"a","Action":"build-output","Output":"a.go:1: syntax error\n"}`,
				`{"ImportPath":"a","Action":"build-fail"}`,
				`{"Action":"output","Package":"a","Output":"FAIL\ta [build failed]\n"}`,
				`{"Action":"fail","Package":"a","FailedBuild":"a"}`,
			},
			want: "a.go:1: syntax error\nFAIL\ta [build failed]\n0 passed, 0 failed, 0 skipped\n",
			err:  "0 tests failed in 1 packages",
		},
		"a skip is reported": {
			events: []string{
				`{"Action":"output","Package":"a","Test":"TestOne","Output":"no server\n"}`,
				`{"Action":"skip","Package":"a","Test":"TestOne"}`,
				`{"Action":"pass","Package":"a"}`,
			},
			want: "no server\n0 passed, 0 failed, 1 skipped\n",
		},
		"a skip fails where all are required": {
			args: []string{"-require-all=1"},
			events: []string{
				`{"Action":"skip","Package":"a","Test":"TestOne"}`,
			},
			want: "0 passed, 0 failed, 1 skipped\n",
			err:  "1 tests were skipped where all are required",
		},
		"a package without tests is no skip": {
			args: []string{"-require-all=1"},
			events: []string{
				`{"Action":"output","Package":"a","Output":"?   \ta\t[no test files]\n"}`,
				`{"Action":"skip","Package":"a"}`,
				`{"Action":"pass","Package":"b","Test":"TestOne"}`,
			},
			want: "1 passed, 0 failed, 0 skipped\n",
		},
		"a test that never ended is shown": {
			events: []string{
				`{"Action":"output","Package":"a","Test":"TestTwo","Output":"two\n"}`,
				`{"Action":"output","Package":"a","Test":"TestOne","Output":"=== RUN   TestOne\n"}`,
				`{"Action":"output","Package":"a","Test":"TestOne","Output":"one\n"}`,
				`{"Action":"fail","Package":"a"}`,
			},
			want: "one\ntwo\n0 passed, 0 failed, 0 skipped\n",
			err:  "0 tests failed in 1 packages",
		},
		"no test at all is a failure": {
			want: "0 passed, 0 failed, 0 skipped\n",
			err:  "no test ran",
		},
		"a line of the go command itself is passed on": {
			events: []string{`go: no such module`},
			want:   "go: no such module\n0 passed, 0 failed, 0 skipped\n",
			err:    "no test ran",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			in := strings.NewReader(strings.Join(append(tc.events, ""), "\n"))
			out := &strings.Builder{}

			var got string
			if err := run(tc.args, in, out); err != nil {
				got = err.Error()
			}

			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("report: -want +got:\n%s", diff)
			}

			if diff := cmp.Diff(tc.err, got); diff != "" {
				t.Errorf("error: -want +got:\n%s", diff)
			}
		})
	}
}
