package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// TestAServerThatHangs in the middle of a write: the call ends with an error that says nothing of what became of it, and the next read
// tells the truth.
func TestAServerThatHangs(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{})
	target := targetOf(e)
	target.Command = 200 * time.Millisecond
	a := key(t, "a")
	var once sync.Once
	s := sessionTo(t, target, before(isWrite, func() {
		once.Do(func() {
			if err := e.Pause(); err != nil {
				t.Error(err)
			}
		})
	}))
	start := time.Now()
	err := s.Apply(t.Context(), []live.Change{set(a, canary)})
	if _, isRefused := errors.AsType[*store.RefusedError](err); err == nil || isRefused {
		t.Errorf("write: got %v, want that nobody knows", err)
	}
	hides(t, err)
	if _, err := s.Read(t.Context(), []live.Setting{a}); err == nil || !strings.Contains(err.Error(), "no answer within 200ms") {
		t.Errorf("read: got %v, want that there is no answer", err)
	}
	if err := s.Check(t.Context(), []live.Change{set(a, canary)}); err == nil {
		t.Error("check: it got an answer")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := e.Resume(); err != nil {
		t.Fatal(err)
	}
	got, raw := heal(t, s, a), ""
	response, err := clientOf(t, e).Get(t.Context(), a.Prefix+a.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range response.Kvs {
		raw = string(kv.GetValue())
	}
	// It may have been written between the two reads, but not unwritten.
	if (got.Set && got.Text != canary) || (got.Set && raw != canary) {
		t.Errorf("the session says %v, and another client %q", got, raw)
	}
	apply(t, s, set(a, "afterwards"))
	if got := stored(t, s, a)[0].Text; got != "afterwards" {
		t.Errorf("got %q, want the last write", got)
	}
}

func TestWhatWasAnsweredOutlivesACrash(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{Durable: true})
	s := sessionTo(t, targetOf(e))
	a := key(t, "a")
	for i := range 5 {
		text := fmt.Sprint("value ", i)
		_ = heal(t, s, a)
		apply(t, s, set(a, text))
		if err := e.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := e.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := heal(t, s, a); got != live.Text(text) {
			t.Errorf("after crash %d: got %v, want %q", i, got, text)
		}
	}
}

func TestAServerThatIsDownIsReachedAgain(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: rootPassword, Durable: true})
	target := targetOf(e)
	target.Username, target.Password, target.Command = "root", rootPassword, 500*time.Millisecond
	s := sessionTo(t, target)
	a := key(t, "a")
	apply(t, s, set(a, "1"))
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"write": s.Apply(t.Context(), changesOf(t, 1)), "check": s.Check(t.Context(), changesOf(t, 1))} {
		if err == nil || errors.Is(err, store.ErrLogin) {
			t.Errorf("%s: got %v, want that it cannot be reached", what, err)
		}
		hides(t, err)
	}
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Its tokens have gone with the process: the session logs in again.
	if got := heal(t, s, a); got.Text != "1" {
		t.Errorf("got %v, want 1", got)
	}
}

// TestAFullDatabase is an error that may pass: the administrator can make room. It is no refusal for another reason as well: the write
// with which the server notices it is made all the same.
func TestAFullDatabase(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{Args: []string{"--quota-backend-bytes=4194304"}})
	s := sessionTo(t, targetOf(e))
	a := key(t, "a")
	large := canary + strings.Repeat("x", 1<<20)
	last := ""
	for i := range 10 {
		text := fmt.Sprint(i, large)
		err := s.Apply(t.Context(), []live.Change{set(a, text)})
		if err == nil {
			last = text

			continue
		}
		hides(t, err)
		if _, isRefused := errors.AsType[*store.RefusedError](err); isRefused || !strings.Contains(err.Error(), "space exceeded") {
			t.Errorf("got %v, want that the database is full", err)
		}
		if got := stored(t, s, a)[0].Text; got != last && got != text {
			t.Errorf("got a value that begins with %.20q, want %.20q or %.20q", got, last, text)
		}

		return
	}
	t.Error("it was never full")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newAuthority(t)
	server := ca.issue(t, "server")
	files := localstore.EtcdTLS{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), Clients: true}
	for path, content := range map[string][]byte{files.CA: ca.certPEM, files.Cert: server.certPEM, files.Key: server.keyPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: rootPassword, TLS: &files})
	addUser(t, clientOf(t, e), "app", "the password of app", t.Name())
	target := targetOf(e)
	target.Connect = 3 * time.Second
	config := func(ca *authority, certs ...tls.Certificate) *tls.Config {
		pool := x509.NewCertPool()
		pool.AddCert(ca.cert)

		return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: certs}
	}
	app := ca.issue(t, "app").pair(t)

	t.Run("a user is who his certificate says", func(t *testing.T) {
		t.Parallel()
		target := target
		target.TLS = config(ca, app)
		s := sessionTo(t, target)
		a := live.Setting{Prefix: "TestTLS/", Name: "a"}
		w := watch(t, s, a)
		apply(t, s, set(a, "1"))
		w.next(t, a)
		states, err := s.Read(t.Context(), []live.Setting{a, {Name: "theirs"}})
		if err != nil {
			t.Fatal(err)
		}
		if states[0].Stored.Text != "1" || states[1].Problem == nil || states[1].Problem.Cause != live.CauseDenied {
			t.Errorf("got %+v", states)
		}
	})
	t.Run("or his password", func(t *testing.T) {
		t.Parallel()
		target := target
		target.TLS, target.Username, target.Password = config(ca, ca.issue(t, "other").pair(t)), "app", "the password of app"
		stored(t, sessionTo(t, target), live.Setting{Prefix: "TestTLS/", Name: "b"})
	})
	for name, connection := range map[string]*tls.Config{
		"a server that somebody else has signed is not trusted": config(newAuthority(t), app),
		"the server wants a certificate":                        config(ca),
		"the server wants TLS":                                  nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := target
			target.TLS = connection
			_, err := open(t.Context(), target)
			if err == nil || errors.Is(err, store.ErrLogin) {
				t.Errorf("got %v, want that it cannot be reached", err)
			}
		})
	}
}

// heal reads one key, as often as it takes until the session has reached its server again.
func heal(t *testing.T, s *session, setting live.Setting) live.Value {
	t.Helper()
	var last error
	for range 1000 {
		states, err := s.Read(t.Context(), []live.Setting{setting})
		if err == nil {
			return states[0].Stored
		}
		last = err
	}
	t.Fatalf("the session does not heal: %v", last)

	return live.Value{}
}

// authority signs certificates.
type authority struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM []byte
}

// issued is a certificate and its key.
type issued struct{ certPEM, keyPEM []byte }

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	return &authority{cert: cert, key: key, certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue makes a certificate for a server on loopback or a client with this name.
func (a *authority) issue(t *testing.T, name string) issued {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	return issued{
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

func (i issued) pair(t *testing.T) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(i.certPEM, i.keyPEM)
	if err != nil {
		t.Fatal(err)
	}

	return pair
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	return key
}
