package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestReadTellsWhatIsStored(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	s := sessionTo(t, targetOf(e))
	put(t, clientOf(t, e), key(t, "set"), "value")
	put(t, clientOf(t, e), key(t, "empty"), "")
	wanted := []live.Setting{
		key(t, "unset"), key(t, "set"), key(t, "empty"), {}, {Name: t.Name() + "/set"}, {Role: "app", Password: true},
	}
	states, err := s.Read(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	value, unset := live.Text("value"), live.Value{}
	want := []live.State{
		{Setting: wanted[0], Stored: unset, Running: unset},
		{Setting: wanted[1], Stored: value, Running: value},
		{Setting: wanted[2], Stored: live.Text(""), Running: live.Text("")},
		{Setting: wanted[3], Problem: &live.Problem{Cause: live.CauseUnknown, Message: "is empty, and etcd has no key without a name"}},
		{Setting: wanted[4], Stored: value, Running: value},
		{Setting: wanted[5], Problem: &live.Problem{
			Cause: live.CauseUnknown, Message: "is a password: those of etcd's users are not set here",
		}},
	}
	for i := range states {
		if (states[i].Rule == nil) != (states[i].Problem != nil) {
			t.Errorf("%s: got the rule %v and the problem %v", states[i].Setting.ID(), states[i].Rule, states[i].Problem)
		}
		states[i].Rule = nil
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func TestAReadOfManyKeysIsOfOneMoment(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	c := clientOf(t, e)
	var once sync.Once
	many := settings(t, 2*batch+1)
	// Somebody else writes the last key after the first request.
	s := sessionTo(t, targetOf(e), after(isTxn, func() {
		once.Do(func() { put(t, c, many[2*batch], "later") })
	}))
	for i, got := range stored(t, s, many...) {
		if got.Set {
			t.Errorf("key %d: got %v, want what was there at the first request", i, got)
		}
	}
	if got := stored(t, s, many[2*batch])[0].Text; got != "later" {
		t.Errorf("the next read: got %q, want later", got)
	}
}

func TestAChangeIsMadeAsAWhole(t *testing.T) {
	t.Parallel()
	s := sessionTo(t, targetOf(stores.Etcd(t)))
	a, b, c := key(t, "a"), key(t, "b"), key(t, "c")
	apply(t, s, set(a, "1"), set(b, "2"), set(c, "3"))
	apply(t, s, set(a, "4"), unset(b), set(live.Setting{Name: a.Prefix + a.Name}, "4")) // one key, spelt twice
	want := []live.Value{live.Text("4"), {}, live.Text("3")}
	if diff := cmp.Diff(want, stored(t, s, a, b, c)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	apply(t, s) // nothing to do
	apply(t, s, unset(b))
}

// TestATransactionWithAStaleRevisionWritesNothing is the contract's: both keys or none.
func TestATransactionWithAStaleRevisionWritesNothing(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	c := clientOf(t, e)
	a, b := key(t, "a"), key(t, "b")
	put(t, c, b, "before")
	var once sync.Once
	// Somebody else writes one of the keys just before the transaction.
	s := sessionTo(t, targetOf(e), before(isWrite, func() { once.Do(func() { put(t, c, b, "theirs") }) }))
	err := s.Apply(t.Context(), []live.Change{set(a, canary), set(b, canary)})
	if _, isRefused := errors.AsType[*store.RefusedError](err); isRefused || !errors.Is(err, ErrChanged) {
		t.Errorf("got %v, want %v", err, ErrChanged)
	}
	hides(t, err)
	if diff := cmp.Diff([]live.Value{{}, live.Text("theirs")}, stored(t, s, a, b)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	apply(t, s, set(a, "1"), set(b, "2")) // the next attempt
}

func TestConcurrentWritersNeverMix(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	a, b := key(t, "a"), key(t, "b")
	var writers sync.WaitGroup
	for w := range 4 {
		s := sessionTo(t, targetOf(e))
		writers.Go(func() {
			for i := range 50 {
				text := fmt.Sprintf("%d of %d", i, w)
				if err := s.Apply(t.Context(), []live.Change{set(a, text), set(b, text)}); err != nil && !errors.Is(err, ErrChanged) {
					t.Error(err)
				}
			}
		})
	}
	s := sessionTo(t, targetOf(e))
	for range 100 {
		if got := stored(t, s, a, b); got[0] != got[1] {
			t.Errorf("got %v, want one writer's", got)
		}
	}
	writers.Wait()
}

func TestCheckRefusesWhatApplyWould(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	s := sessionTo(t, targetOf(e))
	half := strings.Repeat("x", requestLimit/2)
	cases := map[string]struct {
		changes []live.Change
		setting live.Setting
		says    []string
	}{
		"more keys than a transaction takes": {changes: changesOf(t, 129), says: []string{"128", "divide it"}},
		"more bytes in one value":            {changes: []live.Change{set(key(t, "a"), canary+half+half)}, setting: key(t, "a"), says: []string{"1.5 MiB"}},
		"more bytes in all":                  {changes: []live.Change{set(key(t, "a"), half), set(key(t, "b"), half)}, says: []string{"1.5 MiB", "divide it"}},
		"two values for one key": {
			changes: []live.Change{set(key(t, "a"), "1"), set(live.Setting{Name: t.Name() + "/a"}, "2")},
			setting: live.Setting{Name: t.Name() + "/a"}, says: []string{"two values"},
		},
		"no key": {changes: []live.Change{set(live.Setting{}, canary)}, says: []string{"is empty"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, call := range map[string]func(context.Context, []live.Change) error{"check": s.Check, "apply": s.Apply} {
				r := refused(t, call(t.Context(), test.changes))
				if r.Setting != test.setting {
					t.Errorf("%s: got the setting %+v, want %+v", what, r.Setting, test.setting)
				}
				for _, word := range test.says {
					if !strings.Contains(r.Reason, word) {
						t.Errorf("%s: got %q, want it to say %q", what, r.Reason, word)
					}
				}
			}
		})
	}
}

func TestCheckWritesNothing(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{})
	s := sessionTo(t, targetOf(e))
	apply(t, s, set(key(t, "there"), "1"))
	before := revision(t, e)
	changes := append(changesOf(t, 126), set(key(t, "there"), "2"), unset(key(t, "not there")))
	if err := s.Check(t.Context(), changes); err != nil {
		t.Error(err)
	}
	if err := s.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if after := revision(t, e); after != before {
		t.Errorf("the revision went from %d to %d", before, after)
	}
	apply(t, s, changes...) // exactly as many as are taken
}

func TestTheLargestValueIsTakenAndNotMuchMoreWouldBe(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	s := sessionTo(t, targetOf(e))
	k := key(t, "a")
	states, err := s.Read(t.Context(), []live.Setting{k})
	if err != nil {
		t.Fatal(err)
	}
	r, ok := states[0].Rule.(rule)
	if !ok {
		t.Fatalf("got the rule %v", states[0].Rule)
	}
	large := strings.Repeat("x", r.limit)
	apply(t, s, set(k, large))
	if got := stored(t, s, k)[0].Text; got != large {
		t.Errorf("got %d bytes back, want %d", len(got), len(large))
	}
	if _, err := clientOf(t, e).Put(t.Context(), k.Prefix+k.Name, large+strings.Repeat("x", 512)); err == nil {
		t.Error("the server takes 512 bytes more: the limit is too low")
	}
}

func TestAServerWithLowerLimitsHasTheLastWord(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{Args: []string{"--max-txn-ops=2", "--max-request-bytes=10000"}})
	s := sessionTo(t, targetOf(e))
	refused(t, s.Check(t.Context(), changesOf(t, 3)))
	r := refused(t, s.Apply(t.Context(), []live.Change{set(key(t, "a"), canary+strings.Repeat("x", 10000))}))
	if !strings.Contains(r.Reason, "--max-request-bytes") {
		t.Errorf("got %q, want the limit named", r.Reason)
	}
}

func TestAUserNeedsNoMoreThanARangeOfKeys(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: rootPassword})
	root := clientOf(t, e)
	addUser(t, root, "app", "the password of app", t.Name()+"/")
	if _, err := root.RoleGrantPermission(t.Context(), "app", "read only", "", clientv3.PermissionType(clientv3.PermRead)); err != nil {
		t.Fatal(err)
	}
	target := targetOf(e)
	target.Username, target.Password = "app", "the password of app"
	s := sessionTo(t, target)
	mine, readOnly, theirs := settings(t, 60), live.Setting{Name: "read only"}, live.Setting{Name: "theirs"}

	t.Run("to check, write and read them", func(t *testing.T) {
		var changes []live.Change
		for _, m := range mine {
			changes = append(changes, set(m, "value"))
		}
		if err := s.Check(t.Context(), changes); err != nil {
			t.Error(err)
		}
		apply(t, s, changes...)
		for i, got := range stored(t, s, mine...) {
			if got != live.Text("value") {
				t.Errorf("key %d: got %v", i, got)
			}
		}
	})
	t.Run("the key that may not be read is found among the others", func(t *testing.T) {
		some := append(append([]live.Setting{theirs}, mine...), theirs, readOnly)
		states, err := s.Read(t.Context(), some)
		if err != nil {
			t.Fatal(err)
		}
		for i, state := range states {
			denied := state.Problem != nil && state.Problem.Cause == live.CauseDenied
			if denied != (some[i] == theirs) || denied != (state.Rule == nil) {
				t.Errorf("%s: got the problem %+v", some[i].ID(), state.Problem)
			}
		}
	})
	t.Run("the key that may not be written is found among the others, and nothing is written", func(t *testing.T) {
		for name, forbidden := range map[string]live.Setting{"read only": readOnly, "theirs": theirs} {
			for at := range 3 {
				var changes []live.Change
				for _, m := range mine {
					changes = append(changes, set(m, canary))
				}
				changes[at*29].Setting = forbidden
				for what, call := range map[string]func(context.Context, []live.Change) error{"check": s.Check, "apply": s.Apply} {
					if r := refused(t, call(t.Context(), changes)); r.Setting != forbidden {
						t.Errorf("%s of %s: got %s", what, name, r.Setting.ID())
					}
				}
			}
		}
		for i, got := range stored(t, s, mine...) {
			if got.Text == canary {
				t.Errorf("key %d was written", i)
			}
		}
	})
}

func TestAnyBytesComeBackAsTheyWereOrAreRefused(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := sessionTo(t, targetOf(stores.Etcd(t)))
	const rounds, each = 100, 100
	turnedAway := 0
	for round := range rounds {
		var changes []live.Change
		var places []live.Setting
		var want []live.Value
		for i := range each {
			k := live.Setting{Prefix: fmt.Sprintf("%s/%d/", t.Name(), i), Name: odd(random)}
			text := odd(random)
			large := i == 0 && round%10 == 0
			if large { // as may be, or a little more
				text = strings.Repeat("\x00", ruleOf(k.Prefix+k.Name, "").limit-5+random.IntN(10))
			}
			if err := ruleOf(k.Prefix+k.Name, "").Check(text); err != nil {
				refused(t, s.Apply(t.Context(), []live.Change{set(k, text)}))
				turnedAway++

				continue
			}
			if large {
				apply(t, s, set(k, text)) // there is no room for others
			} else {
				changes = append(changes, set(k, text))
			}
			places, want = append(places, k), append(want, live.Text(text))
		}
		apply(t, s, changes...)
		if diff := cmp.Diff(want, stored(t, s, places...)); diff != "" {
			t.Fatalf("stored (-want +got):\n%.2000s", diff)
		}
		var clean []live.Change
		for _, p := range places {
			clean = append(clean, unset(p))
		}
		apply(t, s, clean...)
	}
	t.Logf("%d of %d were refused", turnedAway, rounds*each)
}

// odd is a string as nobody expects it.
func odd(random *rand.Rand) string {
	parts := []string{
		"", "\x00", "\n", "\r\n", " ", "\t", `"`, `'`, `\`, "%s", "$(x)", "\xff\xfe", "\xc3", "é", "\u65e5\u672c", "\u202e", "{}", "/", "..", "=", ";", "🙂",
	}
	var b strings.Builder
	for range random.IntN(12) {
		if random.IntN(3) == 0 {
			b.WriteByte(byte(random.IntN(256)))
		} else {
			b.WriteString(parts[random.IntN(len(parts))])
		}
	}

	return b.String()
}

func revision(t *testing.T, e *localstore.Etcd) int64 {
	t.Helper()
	response, err := clientOf(t, e).Get(t.Context(), "any")
	if err != nil {
		t.Fatal(err)
	}

	return response.Header.GetRevision()
}

func settings(t *testing.T, n int) []live.Setting {
	t.Helper()
	some := make([]live.Setting, n)
	for i := range some {
		some[i] = key(t, fmt.Sprintf("%04d", i))
	}

	return some
}

func changesOf(t *testing.T, n int) []live.Change {
	t.Helper()
	changes := make([]live.Change, n)
	for i, s := range settings(t, n) {
		changes[i] = set(s, canary)
	}

	return changes
}

func isTxn(request any) bool {
	_, ok := request.(*pb.TxnRequest)

	return ok
}

// isWrite says that a request is a transaction that writes if its conditions hold.
func isWrite(request any) bool {
	txn, ok := request.(*pb.TxnRequest)

	return ok && len(txn.GetCompare()) > 0 && txn.GetCompare()[0].GetResult() == pb.Compare_EQUAL
}

// before does something before each request of a kind is sent.
func before(kind func(any) bool, do func()) grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, next grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		if kind(request) {
			do()
		}

		return next(ctx, method, request, reply, conn, options...)
	})
}

// after does something after each answer to a request of a kind.
func after(kind func(any) bool, do func()) grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, next grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		err := next(ctx, method, request, reply, conn, options...)
		if kind(request) {
			do()
		}

		return err
	})
}
