package mysql

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestASessionSaysWhichServerItIs(t *testing.T) {
	t.Parallel()
	s := dial(t, target(stores.MariaDB(t)))
	if !regexp.MustCompile(`^MariaDB [0-9]+\.[0-9]+\.[0-9]+$`).MatchString(s.Version()) {
		t.Errorf("got %q", s.Version())
	}
	for text, want := range map[string]string{
		"10.11.19-MariaDB-0+deb12u1-log": "MariaDB 10.11.19",
		"8.0.36-0ubuntu0.22.04.1":        "MySQL 8.0.36",
		"8.4.2":                          "MySQL 8.4.2",
	} {
		if m, got := makeOf(text); got != want || !strings.HasPrefix(want, string(m)) {
			t.Errorf("%s is read as %s %q, want %q", text, m, got, want)
		}
	}
}

func TestASessionIsNotOpened(t *testing.T) {
	t.Parallel()
	m := stores.MariaDB(t)
	db := admin(t, m)
	exec(t, db, "CREATE USER locked IDENTIFIED BY 'locked' ACCOUNT LOCK", "CREATE USER tls IDENTIFIED BY 'tls' REQUIRE SSL")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	_ = free.Close()
	cases := map[string]struct {
		change func(*store.Target)
		login  bool
	}{
		"with a wrong password": {func(t *store.Target) { t.Password = "a canary" }, true},
		"as nobody":             {func(t *store.Target) { t.Username = "nobody" }, true},
		"without a password":    {func(t *store.Target) { t.Password = "" }, true},
		"as who is locked":      {func(t *store.Target) { t.Username, t.Password = "locked", "locked" }, true},
		"as who needs TLS":      {func(t *store.Target) { t.Username, t.Password = "tls", "tls" }, true},
		"in no database":        {func(t *store.Target) { t.Database = "nosuch" }, true},
		"where nobody listens":  {func(t *store.Target) { t.Endpoints = []string{nobody} }, false},
		"with TLS without TLS":  {func(t *store.Target) { t.TLS = &tls.Config{InsecureSkipVerify: true} }, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			target := target(m)
			test.change(&target)
			s, err := Driver().Open(t.Context(), target)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if got := errors.Is(err, store.ErrLogin); got != test.login {
				t.Errorf("got %v, which is about the login: %t", err, got)
			}
			if strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), target.Endpoints[0]) {
				t.Errorf("got %q, want the endpoint and no password", err)
			}
		})
	}
}

func TestASessionThatKeepsSettingsIsRefusedWhereNothingIsKept(t *testing.T) {
	t.Parallel()
	target := target(stores.MariaDB(t))
	target.Persist = true
	_, err := Driver().Open(t.Context(), target)
	refused, ok := errors.AsType[*store.RefusedError](err)
	if !ok || !strings.Contains(refused.Reason, "option file") {
		t.Errorf("got %v, want a refusal that says what to do", err)
	}
}

func TestASessionByTLSTrustsNobodyElse(t *testing.T) {
	t.Parallel()
	certificate, key, pool := selfSigned(t)
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x", Args: []string{"--ssl-cert=" + certificate, "--ssl-key=" + key}})
	exec(t, admin(t, m), "CREATE USER tls IDENTIFIED BY 'tls' REQUIRE SSL")
	target := target(m)
	target.Username, target.Password = "tls", "tls"
	target.TLS = &tls.Config{RootCAs: pool}
	s := dial(t, target)
	if got := value(t, s.db, "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_VERSION'"); got == "" {
		t.Error("the connection is in clear")
	}
	if ok, err := s.Accepts(t.Context(), "tls", "tls"); !ok || err != nil {
		t.Errorf("got %t and %v, want a login by TLS too", ok, err)
	}
	target.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	if _, err := Driver().Open(t.Context(), target); err == nil || errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v, want a server that is not trusted", err)
	}
}

// selfSigned writes a certificate for the loopback address.
func selfSigned(t *testing.T) (certificate, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))

	return certificate, key, pool
}

func TestASettingIsReadWithWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	db := admin(t, m)
	exec(t, db, "CREATE ROLE some_role", "INSTALL SONAME 'auth_ed25519'", "INSTALL SONAME 'auth_pam'")
	s := dial(t, target(m))
	type finding struct {
		Stored, Running       string
		Cause                 live.Cause
		Rule, NoUnset, Hidden bool
	}
	cases := map[string]struct {
		setting live.Setting
		want    finding
	}{
		"a number":                         {live.Setting{Name: "max_connections"}, finding{"151", "151", "", true, true, false}},
		"in another spelling":              {live.Setting{Name: "Max-Connections"}, finding{"151", "151", "", true, true, false}},
		"by its newer name":                {live.Setting{Name: "log_slow_query_time"}, finding{"10.000000", "10.000000", "", true, true, false}},
		"there is none":                    {live.Setting{Name: "nosuch"}, finding{Cause: live.CauseUnknown}},
		"there can be none":                {live.Setting{Name: "a' OR '1"}, finding{Cause: live.CauseUnknown}},
		"with a scope that is unknown":     {live.Setting{Name: "max_connections", Role: "app"}, finding{Cause: live.CauseUnknown}},
		"set at the start":                 {live.Setting{Name: "skip_name_resolve"}, finding{"ON", "ON", live.CauseFixed, false, true, false}},
		"of sessions alone":                {live.Setting{Name: "insert_id"}, finding{"", "", live.CauseFixed, false, true, false}},
		"of sessions, with a global value": {live.Setting{Name: "sql_log_bin"}, finding{"ON", "ON", live.CauseFixed, false, true, false}},
		"a command":                        {live.Setting{Name: "innodb_log_checkpoint_now"}, finding{"OFF", "OFF", live.CauseFixed, false, true, false}},
		"dangerous":                        {live.Setting{Name: "init_connect"}, finding{"", "", live.CauseDangerous, true, true, false}},
		"dangerous by its newer name":      {live.Setting{Name: "log_slow_query_file"}, finding{value(t, db, "SELECT @@slow_query_log_file"), value(t, db, "SELECT @@slow_query_log_file"), live.CauseDangerous, true, true, false}},
		"chosen by the server for ever":    {live.Setting{Name: "innodb_lru_flush_size"}, finding{"0", "0", live.CauseDangerous, true, true, false}},
		"told as asterisks":                {live.Setting{Name: "wsrep_sst_auth"}, finding{"", "", live.CauseDangerous, true, true, true}},
		"a password of nobody":             {live.Setting{Role: "nobody", Password: true}, finding{Cause: live.CauseUnknown, NoUnset: true}},
		"a password of a role":             {live.Setting{Role: "some_role@", Password: true}, finding{Cause: live.CauseUnknown, NoUnset: true}},
		"a password with a name":           {live.Setting{Role: "root@127.0.0.1", Name: "x", Password: true}, finding{Cause: live.CauseUnknown, NoUnset: true}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			state := read(t, s, test.setting)[0]
			got := finding{state.Stored.Text, state.Running.Text, "", state.Rule != nil, state.NoUnset, state.Hidden}
			if state.Problem != nil {
				got.Cause = state.Problem.Cause
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestManySettingsAreReadInTheirOrder(t *testing.T) {
	t.Parallel()
	s := dial(t, target(stores.MariaDB(t)))
	settings := variables("port", "nosuch", "thread_stack", "PORT")
	settings = append(settings, live.Setting{Role: "root@127.0.0.1", Password: true})
	for i, state := range read(t, s, settings...) {
		if diff := cmp.Diff(settings[i], state.Setting); diff != "" {
			t.Errorf("state %d (-want +got):\n%s", i, diff)
		}
	}
	if states := read(t, s); len(states) != 0 {
		t.Errorf("got %v for no settings", states)
	}
}

func TestALongTextIsReadAsAWhole(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	s := dial(t, target(m))
	text := strings.Repeat("é", 5000)
	if err := s.Apply(t.Context(), []live.Change{to("init_connect", text)}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, variables("init_connect")...)[0]; got.Stored.Text != text {
		t.Errorf("got %d bytes of %d", len(got.Stored.Text), len(text))
	}
}

func TestACallThatIsUnderWayEndsWithTheSession(t *testing.T) {
	t.Parallel()
	s := dial(t, target(stores.MariaDB(t)))
	conn, err := s.own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := s.command(t.Context())
	defer cancel()
	began := make(chan struct{})
	go func() {
		<-began
		s.Close()
	}()
	close(began)
	if _, err := conn.ExecContext(ctx, "DO SLEEP(600)"); err == nil {
		t.Error("it slept to its end")
	}
	if _, err := s.Read(t.Context(), variables("port")); err == nil {
		t.Error("a closed session was read")
	}
}
