package redis

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// answer is an answer that says no.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

func TestServersAreToldApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply            []any
		text             string
		together, strict bool
	}{
		"Redis 7.0":            {[]any{"server", "redis", "version", "7.0.15", "proto", int64(2), "mode", "standalone"}, "Redis 7.0.15", true, true},
		"Redis 8":              {[]any{"server", "redis", "version", "8.2.1"}, "Redis 8.2.1", true, false},
		"Redis 6.2":            {[]any{"server", "redis", "version", "6.2.14", "modules", []any{}}, "Redis 6.2.14", false, true},
		"Valkey":               {[]any{"server", "valkey", "version", "8.0.1"}, "Valkey 8.0.1", true, false},
		"another make":         {[]any{"server", "keydb", "version", "7.0.0"}, "Redis", false, true},
		"an answer of nothing": {nil, "Redis", false, true},
		"half an answer":       {[]any{"server"}, "Redis", false, true},
	} {
		s := readHello(c.reply)
		if s.String() != c.text || s.together() != c.together || s.strict() != c.strict || s.sentinel {
			t.Errorf("%s: got %+v", name, s)
		}
	}
	if !readHello([]any{"mode", "sentinel"}).sentinel {
		t.Error("a Sentinel is not known as one")
	}
}

func TestOfARefusalTheNameAndWhatIsAcceptedArePassedOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, setting, words string }{
		"7.0, a word": {
			"ERR CONFIG SET failed (possibly related to argument 'loglevel') - argument(s) must be one of the following: debug, verbose",
			"loglevel", "takes one of debug, verbose",
		},
		"7.0, a range": {
			"ERR CONFIG SET failed (possibly related to argument 'slowlog-log-slower-than') - argument must be between -1 and 9 inclusive",
			"slowlog-log-slower-than", "takes -1 to 9",
		},
		"a former name":  {"ERR CONFIG SET failed (possibly related to argument 'slave-priority') - argument couldn't be parsed into an integer", "replica-priority", "takes a whole number"},
		"of the start":   {"ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config", "databases", fixedText},
		"protected":      {"ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config", "dir", protectedText},
		"none":           {"ERR Unknown option or number of arguments for CONFIG SET - 'xyz'", "xyz", unknownText},
		"6.2, with what": {"ERR Invalid argument 'canary' for CONFIG SET 'hz' - argument couldn't be parsed into an integer", "hz", "takes a whole number"},
		"6.2, without": {
			"ERR Invalid argument 'canary' for CONFIG SET 'maxmemory'", "maxmemory",
			"has a value that the server does not take or cannot act on; it takes a number of bytes, also with a unit: 1kb is 1024, 1k is 1000, likewise mb and m, gb and g",
		},
		"with the value in the reason": {
			"ERR CONFIG SET failed (possibly related to argument 'hz') - the canary is not what it should be",
			"hz", "has a value that the server does not take or cannot act on; it takes a whole number from 1 to 500",
		},
		"something else": {"ERR canary", "", ""},
	} {
		f, no := failed(answer(c.answer))
		if !no || f.code != "ERR" {
			t.Errorf("%s: got %+v, %t", name, f, no)
		}
		setting, reason := f.refused()
		s := &session{forms: known()}
		if diff := cmp.Diff(c.setting, setting); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if c.setting != "" {
			if diff := cmp.Diff(c.words, inWordsOfOurs(reason, s.form(setting))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestAnswersThatMeanNotNowAreNoRefusals(t *testing.T) {
	t.Parallel()
	for text, passing := range map[string]bool{
		"LOADING Redis is loading the dataset in memory": true, "BUSY Redis is busy": true, "OOM command not allowed": true,
		"READONLY You can't write": true, "MASTERDOWN Link": true, "MISCONF Redis": true, "CLUSTERDOWN The cluster": true,
		"ERR max number of clients reached": true, "ERR syntax error": false, "NOPERM no": false, "an answer of no form": false,
	} {
		f, no := failed(answer(text))
		if !no || (f.passing() != "") != passing {
			t.Errorf("%s: got %+v", text, f)
		}
	}
	for text, login := range map[string]bool{"WRONGPASS invalid": true, "NOAUTH Authentication": true, "DENIED Redis is": true, "ERR no": false} {
		if f, _ := failed(answer(text)); f.login() != login {
			t.Errorf("%s: got %t", text, f.login())
		}
	}
	for _, err := range []error{nil, errors.New("read: i/o timeout"), goredis.Nil} {
		if _, no := failed(err); no {
			t.Errorf("%v is taken for an answer that says no", err)
		}
	}
}

func FuzzNothingOfAValueIsPassedOn(f *testing.F) {
	f.Add("canary", "argument must be between 1 and 2 inclusive", true)
	f.Add("x' for CONFIG SET 'hz' - y", "z", false)
	f.Fuzz(func(t *testing.T, value, reason string, later bool) {
		const mark = "canary-7f"
		text := "ERR Invalid argument '" + value + mark + "' for CONFIG SET 'hz' - " + reason
		if later {
			text = "ERR CONFIG SET failed (possibly related to argument 'hz') - " + reason + mark
		}
		failure, _ := failed(answer(text))
		name, why := failure.refused()
		s := &session{forms: known()}
		if words := inWordsOfOurs(why, s.form(name)); strings.Contains(words, mark) || name != "" && name != "hz" && !strings.Contains(reason, "'") {
			t.Errorf("%q of %q", words, name)
		}
	})
}

func TestUsersAreReadInOneForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply []any
		want  live.Value
	}{
		"two, in their order": {[]any{"flags", []any{"on"}, "passwords", []any{"b", "a"}}, live.Text("a b")},
		"any":                 {[]any{"flags", []any{"on", "nopass"}, "passwords", []any{}}, live.Text("nopass")},
		"none":                {[]any{"flags", []any{"on"}, "passwords", []any{}}, live.Value{}},
		"half an answer":      {[]any{"flags"}, live.Value{}},
	} {
		if got := verifier(readUser(c.reply)); got != c.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
