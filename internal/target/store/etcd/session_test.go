package etcd

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// rootPassword is the administrator's.
const rootPassword = "the password of root"

func TestTheDriverOpensASessionWithAllEndpointsTogether(t *testing.T) {
	t.Parallel()
	d := Driver()
	if d.Type != lockstepv1alpha1.StoreEtcd || !d.Together {
		t.Errorf("got the type %s, together %v", d.Type, d.Together)
	}
	target := targetOf(stores.Etcd(t))
	target.Endpoints = append([]string{freeAddress(t)}, target.Endpoints...) // one of them is down
	s, err := d.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !regexp.MustCompile(`^etcd 3\.\d+\.\d+$`).MatchString(s.Version()) {
		t.Errorf("got the version %q", s.Version())
	}
}

func TestAStoreThatCannotBeReachedSaysWhy(t *testing.T) {
	t.Parallel()
	target := store.Target{Endpoints: []string{freeAddress(t)}, Connect: time.Minute, Command: time.Minute}
	_, err := open(t.Context(), target) // at once, not after a minute
	if err == nil || errors.Is(err, store.ErrLogin) {
		t.Fatalf("got %v, want that it cannot be reached", err)
	}
	if !strings.Contains(err.Error(), target.Endpoints[0]) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %q, want the address and the reason", err)
	}
}

func TestOpenTakesNoLongerThanToldTo(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{})
	if err := e.Pause(); err != nil {
		t.Fatal(err)
	}
	target := targetOf(e)
	target.Connect = 200 * time.Millisecond
	start := time.Now()
	_, err := open(t.Context(), target)
	if err == nil || errors.Is(err, store.ErrLogin) || !strings.Contains(err.Error(), "not within 200ms") {
		t.Errorf("got %v, want that the time was over", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(ctx, targetOf(e)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the caller has ended it", err)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: rootPassword})
	addUser(t, clientOf(t, e), "app", "the password of app", "/app/")
	cases := map[string]struct {
		user, password string
		refused        bool
	}{
		"with the right password":      {user: "app", password: "the password of app"},
		"with a wrong one":             {user: "app", password: canary, refused: true},
		"as somebody who is not there": {user: "nobody", password: canary, refused: true},
		"without a name":               {refused: true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := targetOf(e)
			target.Username, target.Password = test.user, test.password
			s, err := open(t.Context(), target)
			if err == nil {
				s.Close()
			}
			if errors.Is(err, store.ErrLogin) != test.refused || (err != nil) != test.refused {
				t.Errorf("got %v, want to be refused: %v", err, test.refused)
			}
			hides(t, err)
		})
	}
}

func TestAServerWithoutUsersLetsAnybodyIn(t *testing.T) {
	t.Parallel()
	target := targetOf(stores.Etcd(t))
	target.Username, target.Password = "app", "a password"
	stored(t, sessionTo(t, target), key(t, "a"))
}

func TestASessionWhosePasswordWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: rootPassword})
	root := clientOf(t, e)
	addUser(t, root, "app", canary, "TestASession")
	target := targetOf(e)
	target.Username, target.Password = "app", canary
	s := sessionTo(t, target)
	stored(t, s, key(t, "a"))
	if _, err := root.UserChangePassword(t.Context(), "app", "another"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Read(t.Context(), settings(t, 1))
	if !errors.Is(err, store.ErrLogin) {
		t.Errorf("read: got %v, want %v", err, store.ErrLogin)
	}
	hides(t, err)
	if err := s.Apply(t.Context(), changesOf(t, 1)); !errors.Is(err, store.ErrLogin) {
		t.Errorf("write: got %v, want %v", err, store.ErrLogin)
	}
	if _, err := open(t.Context(), target); !errors.Is(err, store.ErrLogin) {
		t.Errorf("a new session with the old password: got %v, want %v", err, store.ErrLogin)
	}
	target.Password = "another"
	stored(t, sessionTo(t, target), key(t, "a"))
}

func TestASessionGoesOnWhenUsersAndRolesChange(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: rootPassword})
	root := clientOf(t, e)
	addUser(t, root, "app", "the password of app", t.Name())
	target := targetOf(e)
	target.Username, target.Password = "app", "the password of app"
	s := sessionTo(t, target)
	apply(t, s, set(key(t, "a"), "1"))
	addUser(t, root, "other", "another", "/other") // makes all tokens old
	apply(t, s, set(key(t, "a"), "2"))
	if got := stored(t, s, key(t, "a"))[0].Text; got != "2" {
		t.Errorf("got %q, want 2", got)
	}
}

func TestCloseEndsTheCallsUnderWay(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{})
	target := targetOf(e)
	target.Command = time.Hour
	asked := make(chan struct{})
	s := sessionTo(t, target, before(isTxn, sync.OnceFunc(func() { close(asked) })))
	if err := e.Pause(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.Apply(t.Context(), changesOf(t, 1)) }()
	<-asked
	s.Close()
	if err := <-ended; !errors.Is(err, errClosed) {
		t.Errorf("got %v, want %v", err, errClosed)
	}
	if _, err := s.Read(t.Context(), settings(t, 1)); !errors.Is(err, errClosed) {
		t.Errorf("a read afterwards: got %v, want %v", err, errClosed)
	}
}

// addUser adds a user who may read and write the keys below a prefix, and nothing else.
func addUser(t *testing.T, root *clientv3.Client, name, password, prefix string) {
	t.Helper()
	ctx := t.Context()
	_, err := root.UserAdd(ctx, name, password)
	_, err2 := root.RoleAdd(ctx, name)
	_, err3 := root.RoleGrantPermission(ctx, name, prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite))
	_, err4 := root.UserGrantRole(ctx, name, name)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
}

// freeAddress is one at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()

	return l.Addr().String()
}
