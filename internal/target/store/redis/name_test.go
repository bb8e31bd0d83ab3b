package redis

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func own() localstore.RedisOptions { return localstore.RedisOptions{} }

func uintText(n uint64) string { return strconv.FormatUint(n, 10) }

func TestTwoSpellingsAreOneSetting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ given, want live.Setting }{
		"upper case":                     {named("MaxMemory"), named("maxmemory")},
		"a name of former times":         {named("slave-priority"), named("replica-priority")},
		"in the plural":                  {named("MIN-SLAVES-TO-WRITE"), named("min-replicas-to-write")},
		"the encoding of former times":   {named("hash-max-ziplist-entries"), named("hash-max-listpack-entries")},
		"another word":                   {named("slaveof"), named("replicaof")},
		"a name that became another one": {named("lua-time-limit"), named("busy-reply-threshold")},
		"Valkey's word":                  {named("primaryauth"), named("masterauth")},
		"a part of a word is none":       {named("slavery"), named("slavery")},
		"what is no name stays":          {named("max*"), named("max*")},
		"letters that only look alike":   {named("\u212Aeep"), named("\u212Aeep")},
		"a user's name is not changed":   {user("Slave"), user("Slave")},
	} {
		if diff := cmp.Diff(c.want, Normalise(c.given)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOldServersAreAskedByOldNames(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]string{
		"hash-max-listpack-entries": "hash-max-ziplist-entries", "busy-reply-threshold": "lua-time-limit",
		"set-max-listpack-entries": "set-max-listpack-entries", "replica-priority": "replica-priority", "maxmemory": "maxmemory",
	} {
		if got := serverName(name, 6); got != old {
			t.Errorf("%s: got %s, want %s", name, got, old)
		}
		if got := serverName(name, 7); got != name {
			t.Errorf("%s: got %s from 7.0 on", name, got)
		}
	}
}

func TestEveryNameOfTheServerIsKnownUnderOneName(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	listed := all(t, r)
	can := map[string]bool{}
	for name := range listed {
		one := Normalise(named(name)).Name
		if _, ok := listed[one]; !ok {
			t.Errorf("%s is called %s, which the server does not know", name, one)
		}
		// Two names of one: what is set by one is shown by the other.
		if state := read(t, s, named(name))[0]; state.Rule != nil {
			can[one] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(can)), slices.Sorted(maps.Keys(s.forms))); diff != "" {
		t.Errorf("what can be set, and what is known (-want +got):\n%s", diff)
	}
	for _, pair := range [][2]string{{"slave-priority", "7"}, {"lua-time-limit", "4999"}, {"hash-max-ziplist-value", "65"}} {
		raw(t, r, "CONFIG", "SET", pair[0], pair[1])
		if got := stored(t, s, pair[0]); got != pair[1] {
			t.Errorf("%s: got %s", pair[0], got)
		}
	}
}
