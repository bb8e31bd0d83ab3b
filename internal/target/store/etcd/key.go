package etcd

import (
	"fmt"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// What etcd takes in one request by default, and at most this much of it for everything that is not a key or a value: for a key of
// a change (the frames of a condition and of a write) and for a request (the header with the user's name).
const (
	requestLimit = 1536 << 10
	keyFrames    = 64
	header       = 128
)

// keyOf returns the key that a setting is.
func keyOf(s live.Setting) (string, *live.Problem) {
	switch {
	case s.Password:
		return "", &live.Problem{Cause: live.CauseUnknown, Message: "is a password: those of etcd's users are not set here"}
	case s.Who != "" || s.Database != "" || s.Role != "":
		return "", &live.Problem{Cause: live.CauseUnknown, Message: "names a section, a database or a role, and etcd has only keys"}
	case s.Prefix+s.Name == "":
		return "", &live.Problem{Cause: live.CauseUnknown, Message: "is empty, and etcd has no key without a name"}
	default:
		return s.Prefix + s.Name, nil
	}
}

// Normalise puts the prefix and the name of a key together: however it is cut in two, it is one key.
func Normalise(s live.Setting) live.Setting {
	s.Prefix, s.Name = "", s.Prefix+s.Name

	return s
}

// bytesOf is how much of a request the change of one key is at most: it is named twice, in the condition and in the write.
func bytesOf(key, value string) int { return 2*len(key) + len(value) + keyFrames }

// rule is what etcd accepts for a key: any bytes that fit into a request.
type rule struct{ limit int }

var _ live.Rule = rule{}

// ruleOf returns the rule of a key that this user writes.
func ruleOf(key, user string) rule {
	return rule{limit: max(0, requestLimit-header-len(user)-bytesOf(key, ""))}
}

// Check counts the bytes.
func (r rule) Check(text string) error {
	if len(text) > r.limit {
		return fmt.Errorf("takes up to %d bytes, since a request to etcd may have 1.5 MiB, and the value has %d", r.limit, len(text))
	}

	return nil
}

// Same compares the bytes.
func (rule) Same(have, want string) bool { return have == want }
