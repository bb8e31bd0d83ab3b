package redis

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// server is what a server says of itself.
type server struct {
	name, version string
	major, minor  int
	sentinel      bool
}

// String is the server as people read it: "Redis 7.0.15".
func (s server) String() string {
	switch s.name {
	case "redis":
		return "Redis " + s.version
	case "valkey":
		return "Valkey " + s.version
	default:
		return "Redis"
	}
}

// together says whether one CONFIG SET takes several parameters, all or none of them. Servers of other makes that speak the
// protocol need not take them back.
func (s server) together() bool { return (s.name == "redis" || s.name == "valkey") && s.major >= 7 }

// strict says whether all forms of values are known.
func (s server) strict() bool {
	return s.name != "valkey" && (s.major < 7 || s.major == 7 && s.minor == 0)
}

// readHello reads the answer to HELLO.
func readHello(reply []any) server {
	var s server
	for pair := range slices.Chunk(reply, 2) {
		text, ok := pair[len(pair)-1].(string)
		if !ok {
			continue
		}
		switch pair[0] {
		case "server":
			s.name = text
		case "version":
			s.version = text
		case "mode":
			s.sentinel = text == "sentinel"
		}
	}
	numbers := strings.SplitN(s.version, ".", 3)
	s.major, _ = strconv.Atoi(numbers[0])
	if len(numbers) > 1 {
		s.minor, _ = strconv.Atoi(numbers[1])
	}

	return s
}

// readPairs reads the answer to CONFIG GET.
func readPairs(reply []any) map[string]string {
	values := make(map[string]string, len(reply)/2)
	for pair := range slices.Chunk(texts(reply), 2) {
		if len(pair) == 2 {
			values[strings.ToLower(pair[0])] = pair[1]
		}
	}

	return values
}

// readUser reads the answer to ACL GETUSER.
func readUser(reply []any) (flags, digests []string) {
	for pair := range slices.Chunk(reply, 2) {
		if len(pair) < 2 {
			break
		}
		switch pair[0] {
		case "flags":
			flags = texts(pair[1])
		case "passwords":
			digests = texts(pair[1])
		}
	}

	return flags, digests
}

// texts are the texts of a list in an answer.
func texts(reply any) []string {
	list, _ := reply.([]any)
	all := make([]string, 0, len(list))
	for _, item := range list {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}

	return all
}

// failure is an answer that says no. The text of it may have values in it, and goes no further.
type failure struct {
	// code is the first word of the answer: ERR, NOPERM, WRONGPASS.
	code string
	text string
}

// failed returns the answer that says no, if the error is one; other errors are about the connection.
func failed(err error) (failure, bool) {
	reply, ok := errors.AsType[goredis.Error](err)
	if !ok || errors.Is(err, goredis.Nil) {
		return failure{}, false
	}
	code, text, _ := strings.Cut(reply.Error(), " ")
	if !codeForm.MatchString(code) {
		return failure{code: "ERR", text: reply.Error()}, true
	}

	return failure{code, text}, true
}

var codeForm = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// The answers by which CONFIG SET names a parameter: from 7.0 on, before it, and when there is none of the name.
var (
	setFailed  = regexp.MustCompile(`^CONFIG SET failed \(possibly related to argument '([^']*)'\) - (.*)$`)
	setInvalid = regexp.MustCompile(`(?s)^Invalid argument '.*' for CONFIG SET '([^']*)'(?: - (.*))?$`)
	setUnknown = regexp.MustCompile(`^Unknown option or number of arguments for CONFIG SET - '([^']*)'$`)
)

// The reasons, as the server words them.
const (
	reasonImmutable = "can't set immutable config"
	reasonProtected = "can't set protected config"
	reasonUnknown   = "there is none of the name"
)

// refused returns the parameter, by its normalised name, that CONFIG SET will not take, and the server's reason, which may
// have the value in it; empty where it says none.
func (f failure) refused() (name, reason string) {
	if m := setFailed.FindStringSubmatch(f.text); m != nil {
		name, reason = m[1], m[2]
	} else if m := setUnknown.FindStringSubmatch(f.text); m != nil {
		name, reason = m[1], reasonUnknown
	} else if m := setInvalid.FindStringSubmatch(f.text); m != nil {
		name, reason = m[1], m[2]
	}

	return Normalise(live.Setting{Name: name}).Name, reason
}

// The reasons that say what is accepted, with nothing of the value in them.
var (
	reasonWords   = regexp.MustCompile(`^argument(?:\(s\))? must be one of the following: ([a-z0-9, -]+)$`)
	reasonRange   = regexp.MustCompile(`^argument must be between (-?[0-9]+) and (-?[0-9]+) inclusive$`)
	reasonClients = regexp.MustCompile(`^The operating system is not able to handle the specified number of clients, try with (-?[0-9]+)$`)
)

// inWordsOfOurs says why the server will not take a parameter, in words that complete a sentence beginning with its name.
// Of the server's own words only those are used that cannot have the value in them.
func inWordsOfOurs(reason string, f form) string {
	switch reason {
	case reasonImmutable:
		return fixedText
	case reasonProtected:
		return protectedText
	case reasonUnknown:
		return unknownText
	case "duplicate parameter":
		return "is given twice"
	case "argument must be 'yes' or 'no'":
		return yesNo{}.accepts()
	case "argument couldn't be parsed into an integer":
		return "takes a whole number"
	case "argument must be a memory value":
		return memory{}.accepts()
	case "argument must be a memory or percent value":
		return memory{percent: true}.accepts()
	}
	if m := reasonWords.FindStringSubmatch(reason); m != nil {
		return "takes one of " + m[1]
	}
	if m := reasonRange.FindStringSubmatch(reason); m != nil {
		return fmt.Sprintf("takes %s to %s", m[1], m[2])
	}
	if m := reasonClients.FindStringSubmatch(reason); m != nil {
		return fmt.Sprintf("is more than the operating system lets the server have; it would take %s", m[1])
	}
	if strings.HasPrefix(reason, "Unable to listen on this port") || strings.HasPrefix(reason, "Failed to bind") {
		return "names an address at which the server cannot listen; its log says why"
	}

	return "has a value that the server does not take or cannot act on; it " + f.accepts()
}

// What is said of parameters that nobody can set.
const (
	fixedText     = "can only be set at the server's start"
	protectedText = "is protected: the server lets it be set only at its start, unless it was started with enable-protected-configs"
	unknownText   = "is no parameter of this server"
)

// passing says of an answer that the server cannot do it now; empty if it will not do it at all.
func (f failure) passing() string {
	switch f.code {
	case "LOADING":
		return "it is loading its data"
	case "BUSY":
		return "it is busy with a script"
	case "OOM":
		return "it is out of memory"
	case "READONLY":
		return "it is a replica that takes no writes"
	case "MASTERDOWN":
		return "it is a replica whose master is down"
	case "MISCONF":
		return "it cannot write its data to the disk"
	case "TRYAGAIN", "CLUSTERDOWN":
		return "its cluster is not whole"
	}
	if f.code == "ERR" && strings.HasPrefix(f.text, "max number of clients") {
		return "it has as many clients as maxclients lets it"
	}

	return ""
}

// isNil says whether the answer is that there is nothing.
func isNil(err error) bool { return errors.Is(err, goredis.Nil) }

// login says whether the answer means that we are not let in.
func (f failure) login() bool {
	return slices.Contains([]string{"WRONGPASS", "NOAUTH", "DENIED"}, f.code)
}
