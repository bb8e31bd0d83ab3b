package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// certify puts a certificate of 127.0.0.1 and its key where the server finds them, and returns who trusts it.
func (w *world) certify() *x509.CertPool {
	w.t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}

	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}

	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}

	info, err := os.Stat(w.Data())
	if err != nil {
		w.t.Fatal(err)
	}

	owner := info.Sys().(*syscall.Stat_t)

	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: certificate}, "server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		path := filepath.Join(w.Data(), name)
		if err := errors.Join(os.WriteFile(path, pem.EncodeToMemory(block), 0o600), os.Chown(path, int(owner.Uid), int(owner.Gid))); err != nil {
			w.t.Fatal(err)
		}
	}

	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		w.t.Fatal(err)
	}

	pool := x509.NewCertPool()
	pool.AddCert(parsed)

	return pool
}

func TestTLSIsNeverGivenUp(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	trusted := w.certify()
	secure := w.target()
	secure.TLS = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}

	if _, err := Driver().Open(t.Context(), secure); err == nil || errors.Is(err, store.ErrLogin) {
		t.Errorf("a server without TLS: got %v", err)
	}

	w.apply(set(param("ssl"), "on"))

	s := w.open(secure)
	if state := readBy(t, s, param("ssl"))[0]; state.Running != live.Text("on") {
		t.Errorf("got %+v", state)
	}

	password := w.role("somebody")
	if !accepts(t, s, "somebody", password) || accepts(t, s, "somebody", "wrong") {
		t.Error("passwords are not tried over TLS")
	}

	var encrypted bool
	if err := w.client().QueryRow(t.Context(), "SELECT bool_or(ssl) FROM pg_stat_ssl").Scan(&encrypted); err != nil || !encrypted {
		t.Errorf("the session is encrypted: %t (%v)", encrypted, err)
	}

	secure.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if _, err := Driver().Open(t.Context(), secure); err == nil || errors.Is(err, store.ErrLogin) {
		t.Errorf("a certificate that nobody trusts: got %v", err)
	}
}
