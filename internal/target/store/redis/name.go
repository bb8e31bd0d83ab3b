package redis

import (
	"regexp"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// validName is what the names of parameters are made of. Anything else could be a pattern to CONFIG GET.
var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// Normalise returns the setting under the name by which it is known here. To Redis names are the same in upper and lower
// case, and some parameters have a second, older name; to two settings under two names of one parameter the server would give
// one value and then the other.
func Normalise(s live.Setting) live.Setting {
	if s.Password || !validName.MatchString(s.Name) {
		return s
	}
	name := strings.ToLower(s.Name)
	switch name {
	case "slaveof":
		name = "replicaof"
	case "lua-time-limit":
		name = "busy-reply-threshold"
	case "primaryauth": // Valkey's
		name = "masterauth"
	case "primaryuser":
		name = "masteruser"
	default:
		name = inWords(name, map[string]string{"slave": "replica", "slaves": "replicas", "ziplist": "listpack"})
	}
	s.Name = name

	return s
}

// serverName is the name by which a server of the major version knows a parameter.
func serverName(name string, major int) string {
	switch {
	case major >= 7:
		return name
	case name == "busy-reply-threshold":
		return "lua-time-limit"
	case strings.HasPrefix(name, "set-"):
		return name // came later than the change of names
	default:
		return inWords(name, map[string]string{"listpack": "ziplist"})
	}
}

// inWords replaces whole words of a name.
func inWords(name string, with map[string]string) string {
	words := strings.Split(name, "-")
	for i, word := range words {
		if other, ok := with[word]; ok {
			words[i] = other
		}
	}

	return strings.Join(words, "-")
}

// dangerous says why a parameter, by its normalised name, is not changed unless it is allowed by name; empty when it is
// harmless.
func dangerous(name string) string {
	switch name {
	case "requirepass":
		return "is the password of all clients that log in without a user"
	case "masterauth", "masteruser":
		return "is what a replica logs in with: a wrong one ends the replication"
	case "bind", "bind-source-addr", "port", "protected-mode", "unixsocket", "unixsocketperm":
		return "decides who can connect: a wrong one locks everybody out"
	case "acl-pubsub-default", "aclfile":
		return "decides what users may do"
	case "dir", "dbfilename":
		return "decides where the data are written, over whatever is there"
	case "replicaof":
		return "makes the server drop its data for those of another one"
	}
	switch {
	case strings.HasPrefix(name, "tls-"):
		return "decides who can connect: a wrong one locks everybody out"
	case strings.HasPrefix(name, "enable-"):
		return "opens commands that reach beyond the data"
	default:
		return ""
	}
}
