package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

const (
	// systemNamespace holds the identities, and the records of a controller that keeps some.
	systemNamespace = "lockstep-bench"
	accountPrefix   = "system:serviceaccount:" + systemNamespace + ":"
	driverName      = "driver"
	driverUser      = accountPrefix + driverName
	// calmLimit bounds the wait for it: a controller that never rests is measured all the same.
	calmLimit = 30 * time.Second
	stopLimit = 60 * time.Second
	// nodes is the number of simulated nodes; each has room for every pod.
	nodes = 4
)

// arena is one control plane with an identity for the benchmark and one for each controller. All of them are
// ServiceAccounts, so that authentication, authorization, priority and auditing cost each of them the same.
type arena struct {
	plane *localplane.Plane
	clock clock.WithTicker
	calm  time.Duration
	audit *auditLog
	// driver is the benchmark's own client, without a limit on its side.
	driver kubernetes.Interface
	// anything is a client of the same identity for kinds that are not known beforehand.
	anything dynamic.Interface
	subjects []*subject
}

// openArena starts a plane in the folder, which logs requests as the policy says, for the controllers. It must be
// closed also when the context has ended.
func openArena(
	ctx context.Context, o options, all []controller, dir, rules string, clk clock.WithTicker,
) (_ *arena, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	policy, log := filepath.Join(dir, "audit-policy.yaml"), filepath.Join(dir, "audit.log")
	if err := os.WriteFile(policy, []byte(rules), 0o600); err != nil {
		return nil, fmt.Errorf("write the audit policy: %w", err)
	}
	// What an earlier run counted in the same folder must not be read as ours.
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the earlier audit log: %w", err)
	}
	plane, err := localplane.Start(ctx, localplane.Options{
		Dir: filepath.Join(dir, "plane"), Bin: o.Bin, Nodes: nodes,
		APIServerArgs: []string{
			"--audit-policy-file=" + policy, "--audit-log-path=" + log,
			// Blocking writes a line before the request is served, so that a count is never behind.
			"--audit-log-mode=blocking", "--audit-log-maxsize=4096",
		},
	})
	if err != nil {
		return nil, err
	}
	a := &arena{plane: plane, clock: clk, calm: o.Calm}
	if err := a.furnish(ctx, all, dir, log); err != nil {
		return nil, errors.Join(err, a.close(ctx))
	}
	return a, nil
}

// furnish makes the identities.
func (a *arena) furnish(ctx context.Context, all []controller, dir, log string) (err error) {
	if a.audit, err = openAudit(log); err != nil {
		return err
	}
	admin, err := kubernetes.NewForConfig(a.plane.RESTConfig())
	if err != nil {
		return fmt.Errorf("make the administrator's client: %w", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if _, err := admin.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the namespace: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: systemNamespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:" + systemNamespace,
		}},
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("bind the role: %w", err)
	}
	driver, err := a.identity(ctx, admin, driverName)
	if err != nil {
		return err
	}
	if a.anything, err = dynamic.NewForConfig(driver); err != nil {
		return fmt.Errorf("make the client of all kinds: %w", err)
	}
	driver.ContentType = "application/vnd.kubernetes.protobuf"
	if a.driver, err = kubernetes.NewForConfig(driver); err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	if err := a.allowed(ctx); err != nil {
		return err
	}
	for i, c := range all {
		name := fmt.Sprintf("subject-%d", i)
		config, err := a.identity(ctx, admin, name)
		if err != nil {
			return err
		}
		s := &subject{
			controller: c, clock: a.clock, user: accountPrefix + name,
			kubeconfig: filepath.Join(dir, name+".kubeconfig"), log: filepath.Join(dir, name+".log"), release: func() {},
		}
		if err := errors.Join(writeKubeconfig(s.kubeconfig, config), s.reserve()); err != nil {
			return err
		}
		a.subjects = append(a.subjects, s)
	}
	return nil
}

// allowed waits until the API server knows what the identities may do: it learns it from a watch of its own.
func (a *arena) allowed(ctx context.Context) error {
	const interval = 20 * time.Millisecond
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"},
	}}
	err := wait.PollUntilContextTimeout(ctx, interval, stopLimit, true, func(ctx context.Context) (bool, error) {
		answer, err := a.driver.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return false, fmt.Errorf("ask: %w", err)
		}
		return answer.Status.Allowed, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the rights of the identities: %w", err)
	}
	return nil
}

// identity creates a ServiceAccount and returns a configuration that acts as it.
func (a *arena) identity(ctx context.Context, admin kubernetes.Interface, name string) (*rest.Config, error) {
	accounts := admin.CoreV1().ServiceAccounts(systemNamespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create the identity %s: %w", name, err)
	}
	lifetime := int64((24 * time.Hour).Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &lifetime}}
	answer, err := accounts.CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create the token of %s: %w", name, err)
	}
	config := rest.AnonymousClientConfig(a.plane.RESTConfig())
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, fmt.Errorf("load the plane's certificate: %w", err)
	}
	config.BearerToken, config.QPS = answer.Status.Token, -1
	return config, nil
}

func writeKubeconfig(path string, config *rest.Config) error {
	const name = "bench"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	// WriteToFile makes a file that only its owner may read.
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return nil
}

// close stops what still runs and the plane.
func (a *arena) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	for _, s := range a.subjects {
		s.end()
		s.release()
	}
	var err error
	if a.audit != nil {
		err = a.audit.close()
	}
	if err := errors.Join(err, a.plane.Stop(ctx)); err != nil {
		return fmt.Errorf("close the plane: %w", err)
	}
	return nil
}

// rest waits until the subject has sent no request for the time of calm. Renewing a Lease does not count: a leader
// does it for ever.
func (a *arena) rest(ctx context.Context, s *subject) error {
	return a.idle(ctx, calmLimit, changing(func() (int, error) {
		counts, err := a.audit.of(s.user)
		return counts.withoutLeases(), err
	}))
}

// changing returns a function that tells whether the count is another one than when it was last asked.
func changing(count func() (int, error)) func() (bool, error) {
	last := -1
	return func() (bool, error) {
		n, err := count()
		changed := n != last
		last = n
		return changed, err
	}
}

// idle waits until nothing was busy for the time of calm, or until the limit is reached.
func (a *arena) idle(ctx context.Context, limit time.Duration, busy func() (bool, error)) error {
	const interval = 100 * time.Millisecond
	ticker := a.clock.NewTicker(interval)
	defer ticker.Stop()
	begun := a.clock.Now()
	since := begun
	for {
		active, err := busy()
		if err != nil {
			return err
		}
		now := a.clock.Now()
		if active {
			since = now
		}
		if now.Sub(since) >= a.calm || now.Sub(begun) >= limit {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C():
		}
	}
}
