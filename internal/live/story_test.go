package live_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

var update = flag.Bool("update", false, "write the stories in testdata as they are told now")

// story is a keeper whose doings are written down, for people to read.
type story struct {
	*keeper
	strings.Builder

	// fates are what becomes of the next writes; after them all goes well. Dies is where it dies next.
	fates []fate
	dies  string
	// late says that a server that does not answer makes what it is told when it does; made is how much of it is made first.
	late bool
	made int
}

// tell writes a story down and compares it with the one in testdata.
func tell(t *testing.T, title string, stores map[live.Place]string, happens func(*story)) {
	t.Helper()

	w := &world{servers: map[live.Node]*server{}}
	s := &story{}

	for place, text := range stores {
		node := live.NodeOf(place)
		if w.servers[node] == nil {
			w.servers[node] = &server{always: node.Store == "cache", secretive: node.Store == "vault", values: map[live.Setting]string{}}
			w.nodes = append(w.nodes, node)
		}

		if text != "" {
			w.servers[node].values[place.Setting] = text
		}
	}

	s.keeper = newKeeper(t, w, s.luck)
	s.keeper.digest = readable
	s.say = func(format string, args ...any) { s.line(fmt.Sprintf(format, args...)) }

	s.line(title)
	s.shows()
	happens(s)

	name := strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(title)) + ".golden"
	file := filepath.Join("testdata", name)

	if *update {
		if err := os.WriteFile(file, []byte(s.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), s.String()); diff != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", name, diff)
	}
}

// luck has the story's own fate.
func (s *story) luck(what string, sides int) int {
	switch {
	case what == "fate" && len(s.fates) > 0:
		next := s.fates[0]
		s.fates = s.fates[1:]

		if next == well {
			return 0
		}

		return int(next) + 5
	case what == "dies "+s.dies:
		s.dies = ""

		return sides - 1
	case what == "a frozen server makes it later" && s.late:
		return 1
	case strings.HasPrefix(what, "made before"):
		return s.made
	default:
		return 0
	}
}

func (s *story) line(text string) { s.WriteString(text + "\n") }

// chapter begins with what happens to the keeper.
func (s *story) chapter(what string) { s.line("\n# " + what) }

// shows tells what the stores have.
func (s *story) shows() {
	var lines []string

	for node, server := range s.servers {
		for setting, text := range server.values {
			place := live.Place{Store: node.Store, Node: node.Name, Setting: setting}
			lines = append(lines, fmt.Sprintf("\t%s = %q", place, text))
		}
	}

	slices.Sort(lines)
	s.line("the stores have:\n" + strings.Join(lines, "\n"))
}

// works has the keeper pass until there is nothing to do, or it cannot go on.
func (s *story) works() {
	for s.pass() {
		if len(s.frozen()) > 0 && s.outcome == lockstepv1alpha1.ChangeRollingBack {
			break
		}
	}

	s.shows()
}

// asks has something else asked for, and done.
func (s *story) asks(why string, wants ...live.Want) {
	s.chapter(why)
	s.ask(wants)
	s.works()
}

// somebody changes a setting by hand; an empty text unsets it.
func (s *story) somebody(place live.Place, text string) {
	s.chapter(fmt.Sprintf("Somebody sets %s to %q by hand.", place, text))
	s.servers[live.NodeOf(place)].put(live.Change{Setting: place.Setting, To: optional(text)})
	s.works()
}

func TestStories(t *testing.T) {
	t.Parallel()

	var (
		workMem   = place("work_mem")
		maximum   = place("max_connections")
		memory    = on("cache", "a:6379", "maxmemory")
		memoryTwo = on("cache", "b:6379", "maxmemory")
		timeout   = on("cache", "a:6379", "timeout")
		app       = password("app")
		sealed    = live.Place{Store: "vault", Setting: live.Setting{Role: "app", Password: true}}
	)

	stories := map[string]struct {
		stores  map[live.Place]string
		happens func(*story)
	}{
		"A setting is adopted, changed and let go": {
			map[live.Place]string{workMem: "4096", maximum: ""},
			func(s *story) {
				s.asks("A LiveConfig asks for work_mem and max_connections.", want(workMem, "8192"), want(maximum, "200"))
				s.asks("The Secret is rotated: work_mem is another.", want(workMem, "16384"), want(maximum, "200"))
				s.asks("The same value is written in another way.", want(workMem, "016384"), want(maximum, "200"))
				s.asks("Nobody asks for max_connections any more.", want(workMem, "016384"))
				s.asks("Nobody asks for anything any more.")
			},
		},
		"One value out of range changes nothing anywhere": {
			map[live.Place]string{workMem: "4096", memory: "1000", memoryTwo: "1000"},
			func(s *story) {
				s.asks("All three are asked for, and one is too large.", want(workMem, "8192"), want(memory, "2000"), want(memoryTwo, "90000"))
				s.asks("It is mended.", want(workMem, "8192"), want(memory, "2000"), want(memoryTwo, "3000"))
				s.asks("One that is in force is edited wrong, and another is no longer asked for.", want(workMem, "a lot"), want(memory, "2000"))
				s.asks("It is mended.", want(workMem, "9000"), want(memory, "2000"))

				s.policy.Atomicity = lockstepv1alpha1.AtomicBestEffort
				s.asks("With best effort one is edited wrong, and the others go on.", want(workMem, "a lot"), want(memory, "2500"))
			},
		},
		"A store freezes in the middle of a change, and everything comes back": {
			map[live.Place]string{workMem: "4096", memory: "1000", timeout: "0"},
			func(s *story) {
				s.asks("Settings of two stores are adopted.", want(workMem, "8192"), want(memory, "2000"), want(timeout, "10"))

				s.fates, s.late = []fate{well, slow}, true
				s.asks("All are changed, and the cache freezes when it is its turn.", want(workMem, "9000"), want(memory, "3000"), want(timeout, "20"))

				s.chapter("It is still frozen.")
				s.works()

				s.chapter("It answers again, and makes what it was told.")
				s.thaw(live.NodeOf(memory))
				s.works()
			},
		},
		"The manager dies between two stores, and another goes on": {
			map[live.Place]string{workMem: "4096", memory: "1000"},
			func(s *story) {
				s.dies = "after a node"
				s.asks("Settings of two stores are to be adopted, and the manager dies after the first.", want(workMem, "8192"), want(memory, "2000"))

				s.dies = "after a node"
				s.asks("It dies once more, after another edit.", want(workMem, "9000"), want(memory, "2000"))
				s.asks("What has come into force is let go.")

				s.dies = "after a node"
				s.asks("It dies in the middle again.", want(workMem, "8192"), want(memory, "2000"))
			},
		},
		"The manager dies, the rest fails, and what it had made goes back": {
			map[live.Place]string{workMem: "4096", memory: "1000", timeout: "0"},
			func(s *story) {
				s.dies, s.made = "after a node", 1
				s.chapter("Settings of two stores are to be adopted, and the manager dies after the first.")
				s.ask([]live.Want{want(workMem, "8192"), want(memory, "2000"), want(timeout, "10")})
				s.pass()
				s.shows()

				s.fates = []fate{partly}
				s.chapter("Another manager goes on, and the second store breaks off.")
				s.pass()
				s.shows()
			},
		},
		"The manager dies, and nobody asks any more": {
			map[live.Place]string{workMem: "4096", memory: "1000"},
			func(s *story) {
				s.dies = "after a node"
				s.chapter("Settings of two stores are to be adopted, and the manager dies after the first.")
				s.ask([]live.Want{want(workMem, "8192"), want(memory, "2000")})
				s.pass()
				s.shows()
				s.asks("The edit is taken back before another manager looks.", want(memory, "1000"))
				s.asks("Nobody asks for anything any more.")
			},
		},
		"Somebody else changes what is ours": {
			map[live.Place]string{workMem: "4096", maximum: ""},
			func(s *story) {
				s.asks("Two settings are adopted.", want(workMem, "8192"), want(maximum, "200"))
				s.somebody(workMem, "1")
				s.somebody(maximum, "")

				s.policy.OnDrift = lockstepv1alpha1.DriftReport
				s.somebody(workMem, "2")
				s.asks("Another value is asked for.", want(workMem, "9000"), want(maximum, "200"))
				s.somebody(workMem, "3")
				s.asks("Nobody asks for anything any more.")
			},
		},
		"What is let go is treated as onRemove says": {
			map[live.Place]string{workMem: "4096", maximum: "100", memory: "1000", timeout: "0", app: verifier("old")},
			func(s *story) {
				all := []live.Want{want(workMem, "8192"), want(maximum, "200"), want(memory, "2000"), want(timeout, "10"), want(app, "new")}
				s.asks("Settings of two stores, and a password, are adopted.", all...)

				s.policy.OnRemove = lockstepv1alpha1.RemoveKeep
				s.asks("With keep, max_connections is let go.", all[0], all[2], all[3], all[4])

				s.policy.OnRemove = lockstepv1alpha1.RemoveUnset
				s.asks("With unset, work_mem and maxmemory are let go: a cache has no way to unset.", all[3], all[4])

				s.policy.OnRemove = lockstepv1alpha1.RemoveRestore
				s.asks("With restore, the rest is: a password is not put back.")
			},
		},
		"Passwords are changed last, and go back with the rest": {
			map[live.Place]string{workMem: "4096", app: verifier("old"), sealed: verifier("old")},
			func(s *story) {
				s.asks("Passwords of two stores are adopted, of which one tells nothing.", want(app, "first"), want(sealed, "first"), want(workMem, "8192"))
				s.asks("They are rotated.", want(app, "second"), want(sealed, "second"), want(workMem, "8192"))

				s.fates = []fate{well, refused}
				s.chapter("They are rotated, and the second store refuses.")
				s.ask([]live.Want{want(app, "third"), want(sealed, "third"), want(workMem, "9000")})
				s.pass()
				s.shows()
				s.asks("The Secret is set back.", want(app, "second"), want(sealed, "second"), want(workMem, "8192"))
			},
		},
		"A change that failed is left for a person to look at": {
			map[live.Place]string{workMem: "4096", memory: "1000"},
			func(s *story) {
				s.policy.OnFailure, s.fates = lockstepv1alpha1.FailureHold, []fate{well, refused}
				s.asks("With onFailure hold, the second of two stores refuses.", want(workMem, "8192"), want(memory, "2000"))
				s.asks("A person asks for something else.", want(memory, "1500"))
				s.asks("Nobody asks for anything any more.")
			},
		},
	}

	for title, story := range stories {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			tell(t, title, story.stores, story.happens)
		})
	}
}
