package localstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

// EtcdOptions say how to start etcd.
type EtcdOptions struct {
	Options

	// RootPassword is the password of the user root. Empty for a server without users.
	RootPassword string
	// Durable makes it write to the disk before it answers. Without it a write is as safe as the machine is up: that a process
	// is killed loses nothing.
	Durable bool
	// TLS is nil for connections in clear.
	TLS *EtcdTLS
	// Args are further arguments of the server, which win over ours.
	Args []string
}

// EtcdTLS are the files with which etcd serves TLS.
type EtcdTLS struct {
	// CA is who signs the certificates of the server and of its clients. Cert and Key are the server's; our own client, which is
	// the root user's, uses them as well.
	CA, Cert, Key string
	// Clients is that each client has to show a certificate. Its name is the user's who gives no password.
	Clients bool
}

// Etcd is a running etcd.
type Etcd struct {
	*Server

	password string
	tls      *tls.Config // nil for connections in clear
}

// StartEtcd starts the etcd that is built for the local control plane. ctx bounds the start alone. The error is a
// [*localplane.MissingBinariesError] when it was not built.
func StartEtcd(ctx context.Context, o EtcdOptions) (*Etcd, error) {
	bin, err := localplane.FindBinaries("")
	if err != nil {
		return nil, err
	}
	server, err := newServer("etcd", o.Options)
	if err != nil {
		return nil, err
	}
	e := &Etcd{Server: server, password: o.RootPassword}
	if err := e.start(ctx, filepath.Join(bin, "etcd"), o); err != nil {
		return nil, errors.Join(err, e.Stop(ctx))
	}

	return e, nil
}

func (e *Etcd) start(ctx context.Context, path string, o EtcdOptions) error {
	var err error
	if o.TLS != nil {
		if e.tls, err = o.TLS.config(); err != nil {
			return err
		}
	}
	if err := e.Server.start(ctx, program{path: path, args: e.args(o), ready: e.ready}); err != nil {
		return err
	}
	if e.password == "" {
		return nil
	}

	return e.addRoot(ctx)
}

// URL is the address for clients.
func (e *Etcd) URL() string {
	if e.tls != nil {
		return "https://" + e.Addr()
	}

	return "http://" + e.Addr()
}

// Client returns a client of the root user, or of nobody when the server has no users. The caller closes it. Its requests
// end with their contexts only.
func (e *Etcd) Client(ctx context.Context) (*clientv3.Client, error) {
	return e.client(context.WithoutCancel(ctx), e.password)
}

func (e *Etcd) client(ctx context.Context, password string) (*clientv3.Client, error) {
	config := clientv3.Config{Endpoints: []string{e.URL()}, TLS: e.tls, Context: ctx, Logger: zap.NewNop()}
	if password != "" {
		config.Username, config.Password = "root", password
	}
	c, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %s: %w", e.Addr(), err)
	}

	return c, nil
}

// args let the peers' side, which nobody uses, be a socket: a lone member needs no second port.
func (e *Etcd) args(o EtcdOptions) []string {
	args := []string{
		"--name=local",
		"--data-dir=etcd.data",
		"--listen-client-urls=" + e.URL(),
		"--advertise-client-urls=" + e.URL(),
		"--listen-peer-urls=unix://peer.sock:0",
		"--initial-advertise-peer-urls=unix://peer.sock:0",
		"--initial-cluster=local=unix://peer.sock:0",
		"--log-level=warn",
		"--bcrypt-cost=4", // logins of tests need not be slow for who guesses passwords
	}
	if !o.Durable {
		args = append(args, "--unsafe-no-fsync")
	}
	if o.TLS != nil {
		args = append(args, "--cert-file="+o.TLS.Cert, "--key-file="+o.TLS.Key, "--trusted-ca-file="+o.TLS.CA,
			fmt.Sprintf("--client-cert-auth=%t", o.TLS.Clients))
	}

	return append(args, o.Args...)
}

// config is that of our own client.
func (t *EtcdTLS) config() (*tls.Config, error) {
	ca, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("read the authority of etcd's certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("read the authority of etcd's certificates: %s has none", t.CA)
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of etcd: %w", err)
	}

	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{pair}}, nil
}

// ready asks the endpoint of the probes, which needs no user. A gRPC client would wait for a second or more whenever it is
// too early.
func (e *Etcd) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL()+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask etcd at %s whether it is ready: %w", e.Addr(), err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true, TLSClientConfig: e.tls}).RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ask etcd at %s whether it is ready: %w", e.Addr(), err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd at %s is not ready: %s", e.Addr(), response.Status)
	}

	return nil
}

// addRoot makes the user root and turns the checks of users on.
func (e *Etcd) addRoot(ctx context.Context) error {
	c, err := e.client(ctx, "")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.UserAdd(ctx, "root", e.password); err != nil {
		return fmt.Errorf("add the user root to etcd: %w", err)
	}
	if _, err := c.UserGrantRole(ctx, "root", "root"); err != nil {
		return fmt.Errorf("make the user root of etcd the administrator: %w", err)
	}
	if _, err := c.AuthEnable(ctx); err != nil {
		return fmt.Errorf("turn the users of etcd on: %w", err)
	}

	return nil
}
