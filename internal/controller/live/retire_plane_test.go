package live_test

import (
	"testing"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// dual is a password of the role app, from the Secret app, whose former one stays valid for a while.
func dual(retireAfter int) lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{Password: &lockstepv1alpha1.LivePassword{
		Role: "app", ValueFrom: *secretValue("app", "password"), Mode: lockstepv1alpha1.PasswordDual, RetireAfter: seconds(retireAfter),
	}}
}

// user makes a user, who may do everything that we need to.
func (c *cache) user(name, password string) {
	c.t.Helper()

	if err := c.client.Do(c.t.Context(), "ACL", "SETUSER", name, "on", ">"+password, "~*", "&*", "+@all").Err(); err != nil {
		c.t.Fatal(err)
	}
}

// logsIn says whether a user can log in.
func (c *cache) logsIn(name, password string) bool {
	conn := c.client.Conn()
	defer func() { _ = conn.Close() }()

	return conn.AuthACL(c.t.Context(), name, password).Err() == nil
}

func retired(l *lockstepv1alpha1.LiveConfig) bool {
	for _, s := range l.Status.Settings {
		if s.RetireAt != nil {
			return false
		}
	}

	return len(l.Status.Settings) > 0
}

func TestAFormerPasswordIsRetiredThoughAnotherChangeWasRefused(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.user("app", "first")

	h := &hooks{}
	w.start(h.use)
	w.secret("app", map[string]string{"password": "second"})
	w.secret("sizes", map[string]string{"memory": "64mb"})

	l := liveConfig("app", "cache", dual(4), from("maxmemory", "sizes", "memory"))
	l.Spec.Checks = []lockstepv1alpha1.Check{{Name: "small", Expression: `int(values["maxmemory"]) < 100 * 1024 * 1024`}}
	w.create(l)
	w.ready("app")

	w.secret("sizes", map[string]string{"memory": "200mb"})
	w.config("app", "to be back", told("Stalled", "True/RolledBack"))
	applied, _ := h.counts()

	over := w.config("app", "to have retired the former password", retired)

	if server.logsIn("app", "first") || !server.logsIn("app", "second") {
		t.Error("the former password is still valid, or the new one is not")
	}

	// And the change is not tried again for that.
	if after, _ := h.counts(); after != applied || len(over.Status.History) != 2 {
		t.Errorf("%d writes to the store after the change was refused; the history is %+v", after-applied, over.Status.History)
	}

	server.expect("maxmemory", megabytes(64))
}

func TestAFormerPasswordIsRetiredThoughItsSettingIsTakenOut(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.user("app", "first")
	w.start()
	w.secret("app", map[string]string{"password": "second"})
	w.create(liveConfig("app", "cache", set("maxmemory", "64mb"), dual(3600)))
	w.ready("app")

	w.edit("app", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings = s.Settings[:1] })
	w.config("app", "to have let the password go", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && len(l.Status.Settings) == 1
	})

	if server.logsIn("app", "first") || !server.logsIn("app", "second") {
		t.Error("the former password is still valid, or the one that stays is not")
	}
}

// Each rotation comes before the former password of the one before is due.
func TestNoFormerPasswordStaysWhenRotationsComeFasterThanTheyAreRetired(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.user("app", "first")
	w.start()
	w.secret("app", map[string]string{"password": "second"})
	w.create(liveConfig("app", "cache", dual(2)))
	w.ready("app")

	w.secret("app", map[string]string{"password": "third"})
	w.config("app", "to have the second revision", at(2))
	w.secret("app", map[string]string{"password": "fourth"})
	w.config("app", "to have the third revision", at(3))
	w.config("app", "to have retired what was before", retired)

	for password, want := range map[string]bool{"first": false, "second": false, "third": false, "fourth": true} {
		if got := server.logsIn("app", password); got != want {
			t.Errorf("the %s password is valid: %t, want %t", password, got, want)
		}
	}
}

func TestAFormerPasswordIsRetiredThoughTheCredentialsOfTheStoreWereAway(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ restart bool }{
		"under one manager": {}, "over a restart": {restart: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			one, other := w.cache("one"), w.cache("other")
			addresses := make([]string, 0, 2)

			for _, c := range []*cache{one, other} {
				c.user("lockstep", "login")
				c.user("app", "first")
				addresses = append(addresses, c.Addr())
			}

			login := map[string]string{"username": "lockstep", "password": "login"}
			s := liveStore("both", lockstepv1alpha1.StoreRedis, addresses...)
			s.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: "login"}
			w.create(s)

			secret := w.secret("login", login)
			first := w.start()

			w.secret("app", map[string]string{"password": "second"})
			w.create(liveConfig("app", "both", dual(4)))
			w.ready("app")

			if tc.restart {
				first.stop()
			}

			w.must(w.client.Delete(t.Context(), secret))

			if tc.restart {
				w.start()
			}

			w.store("both", "to miss its Secret", "False/SecretMissing")
			w.secret("login", login)
			w.store("both", "to be connected", "True/Connected")
			w.config("app", "to have retired the former password", func(l *lockstepv1alpha1.LiveConfig) bool {
				return isReady(l) && retired(l)
			})

			for _, c := range []*cache{one, other} {
				if c.logsIn("app", "first") || !c.logsIn("app", "second") {
					t.Errorf("at %s the former password is still valid, or the new one is not", c.Addr())
				}
			}
		})
	}
}

// A password and the Secret of the LiveStore are one, and the value ends with the new line that an editor has put there.
func TestAPasswordWithANewLineAtItsEndLocksNobodyOut(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("plain")
	server.user("lockstep", "first")
	w.start()
	w.secret("login", map[string]string{"username": "lockstep", "password": "first"})

	s := liveStore("cache", lockstepv1alpha1.StoreRedis, server.Addr())
	s.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: "login"}
	w.create(s)
	w.create(liveConfig("own", "cache", lockstepv1alpha1.LiveSetting{Password: &lockstepv1alpha1.LivePassword{
		Role: "lockstep", ValueFrom: *secretValue("login", "password"),
	}}))
	w.ready("own")

	w.secret("login", map[string]string{"username": "lockstep", "password": "second\n"})
	w.config("own", "to have rotated it", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && server.logsIn("lockstep", "second")
	})
	w.store("cache", "to be let in", "True/Connected")

	// With the connections that the new password has made.
	w.create(liveConfig("marker", "cache", set("maxmemory-samples", "3")))
	w.ready("marker")
	server.expect("maxmemory-samples", "3")
}

// An operator rotates the Secret while nobody is there: the server has still what was there before, which is on record.
func TestARotationOfTheLoginItselfThatNoManagerHasSeenIsMadeByTheNext(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"PostgreSQL", "Redis"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)

			var (
				address string
				logsIn  func(role, password string) bool
				kind    = lockstepv1alpha1.StoreType(name)
			)

			if kind == lockstepv1alpha1.StorePostgreSQL {
				server := w.sql("plain")
				server.do("CREATE ROLE lockstep LOGIN SUPERUSER PASSWORD 'first'")
				address, logsIn = server.Addr(), server.logsIn
			} else {
				server := w.cache("plain")
				server.user("lockstep", "first")
				address, logsIn = server.Addr(), server.logsIn
			}

			w.secret("login", map[string]string{"username": "lockstep", "password": "first"})

			s := liveStore("store", kind, address)
			s.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: "login"}
			w.create(s)

			former := w.start()
			w.create(liveConfig("own", "store", lockstepv1alpha1.LiveSetting{Password: &lockstepv1alpha1.LivePassword{
				Role: "lockstep", ValueFrom: *secretValue("login", "password"),
			}}))
			w.ready("own")

			former.stop()
			w.secret("login", map[string]string{"username": "lockstep", "password": "second"})
			w.start()

			w.config("own", "to have rotated it", func(l *lockstepv1alpha1.LiveConfig) bool { return isReady(l) && logsIn("lockstep", "second") })
			w.store("store", "to be let in", "True/Connected")

			if logsIn("lockstep", "first") {
				t.Error("the former password is still valid")
			}
		})
	}
}
