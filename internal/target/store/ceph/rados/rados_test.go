package rados

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEncodeChangesNoText(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		command map[string]any
		want    string
		fails   bool
	}{
		"numbers and truth values":           {command: map[string]any{"num": 1, "force": true}, want: `{"force":true,"num":1}`},
		"HTML is no matter here":             {command: map[string]any{"value": "<a&b>"}, want: `{"value":"<a&b>"}`},
		"control characters are escaped":     {command: map[string]any{"value": "a\nb\x00\"\\"}, want: `{"value":"a\nb\u0000\"\\"}`},
		"letters are not":                    {command: map[string]any{"value": "ü€😀"}, want: `{"value":"ü€😀"}`},
		"lists":                              {command: map[string]any{"caps": []string{"mon", "allow r"}}, want: `{"caps":["mon","allow r"]}`},
		"what is not UTF-8 cannot be said":   {command: map[string]any{"prefix": "config set", "value": "geheim\xff"}, fails: true},
		"what JSON does not have cannot too": {command: map[string]any{"value": make(chan int)}, fails: true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := encode(test.command)
			if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != test.fails {
				t.Errorf("got %v (-want +got):\n%s", err, diff)
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("the text is in the error: %v", err)
			}
		})
	}
}

func TestTimeLimitsAreNeverRoundedDownToForEver(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Millisecond: "1", 100 * time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", 5 * time.Minute: "300",
	} {
		if got := wholeSeconds(d); got != want {
			t.Errorf("%s is %s seconds, want %s", d, got, want)
		}
	}
}

func TestACallErrorIsItsNumber(t *testing.T) {
	t.Parallel()
	err := error(&CallError{Call: "config set", Errno: syscall.EINVAL})
	if !errors.Is(err, syscall.EINVAL) || err.Error() != "config set: invalid argument (errno 22)" {
		t.Errorf("got %v", err)
	}
}
