package localplane_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAPlaneFromStartToStop(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a plane's directory")
	p := start(t, t.Context(), localplane.Options{Dir: dir, Nodes: 3})
	clients := clientsOf(t, p.RESTConfig())

	t.Run("all five components run, and the state names them", func(t *testing.T) {
		var names []string
		for _, process := range p.Processes() {
			names = append(names, process.Name)
			if !process.Alive() {
				t.Errorf("%s does not run", process.Name)
			}
		}
		want := []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("components (-want +got):\n%s", diff)
		}
		state, err := localplane.Inspect(dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p.Processes(), state.Components); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		if state.Supervisor.PID != os.Getpid() || !state.Supervisor.Alive() {
			t.Errorf("got the supervisor %+v, want this process", state.Supervisor)
		}
	})
	t.Run("the fake nodes are Ready and pods can be created at once", func(t *testing.T) {
		nodes, err := clients.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ready := slices.DeleteFunc(nodes.Items, func(n corev1.Node) bool { return !isReady(n) })
		if len(ready) != 3 {
			t.Errorf("got %d Ready nodes, want 3", len(ready))
		}
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "one"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main"}}},
		}
		if _, err := clients.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("the kubeconfig has mode 0600 and works", func(t *testing.T) {
		assertMode(t, p.Kubeconfig(), 0o600)
		config, err := clientcmd.BuildConfigFromFlags("", p.Kubeconfig())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clientsOf(t, config).CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("only its owner may enter the directory or read a key in it", func(t *testing.T) {
		assertMode(t, dir, 0o700)
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && (strings.HasSuffix(path, ".key") || strings.HasSuffix(path, "kubeconfig")) {
				assertMode(t, path, 0o600)
			}

			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("RBAC refuses whoever has no rights", func(t *testing.T) {
		nobody := rest.AnonymousClientConfig(p.RESTConfig())
		_, err := clientsOf(t, nobody).CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			t.Errorf("anonymous: got %v, want forbidden", err)
		}
		account := p.RESTConfig()
		account.Impersonate.UserName = "system:serviceaccount:default:default"
		_, err = clientsOf(t, account).CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			t.Errorf("a service account: got %v, want forbidden", err)
		}
	})
	t.Run("clients are not slowed down on their side", func(t *testing.T) {
		if got := p.RESTConfig().QPS; got != -1 {
			t.Errorf("got QPS %v, want -1", got)
		}
	})
	t.Run("a second start in the same directory says that one runs", func(t *testing.T) {
		_, err := localplane.Start(t.Context(), localplane.Options{Dir: dir})
		if !errors.Is(err, localplane.ErrRunning) || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v, want one that a plane runs in %s", err, dir)
		}
		if p.Err() != nil || !p.Processes()[0].Alive() {
			t.Error("the first plane was disturbed")
		}
	})
	t.Run("stop leaves no process, no key and no data", func(t *testing.T) {
		stop(t, p)
		assertGone(t, p.Processes())
		if err := p.Err(); err != nil {
			t.Errorf("got the error %v after a stop on purpose", err)
		}
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range left {
			if name := entry.Name(); name != "logs" && name != "lock" {
				t.Errorf("%s is left", name)
			}
		}
		stop(t, p) // a second time is no error
	})
}

func TestOneComponentDyingStopsTheRestAndIsNamed(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"} {
		t.Run(name, func(t *testing.T) {
			p := start(t, t.Context(), localplane.Options{Dir: t.TempDir(), Nodes: 1})
			victim := p.Processes()[i]
			// Not asked but killed: an API server that is asked takes its time, and others give up on it before.
			if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			await(t, p)
			assertGone(t, p.Processes())
			err := p.Err()
			if err == nil || !strings.Contains(err.Error(), name+" ended by itself (signal: killed)") {
				t.Fatalf("got the error %v, want one that names %s", err, name)
			}
			log, readErr := os.ReadFile(filepath.Join(p.Dir(), "logs", name+".log"))
			if readErr != nil {
				t.Fatal(readErr)
			}
			lines := strings.Split(strings.TrimSpace(string(log)), "\n")
			if last := lines[len(lines)-1]; !strings.HasSuffix(err.Error(), last) {
				t.Errorf("the error does not end with the last line of the log:\n%v\nwant:\n%s", err, last)
			}
		})
	}
}

func TestACancelledContextLeavesNoProcess(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := start(t, ctx, localplane.Options{Dir: t.TempDir()})
	cancel()
	await(t, p)
	assertGone(t, p.Processes())
	if err := p.Err(); err != nil {
		t.Errorf("got the error %v after the end of the context", err)
	}
}

func TestAStartThatFailsNamesTheComponentAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := localplane.Start(t.Context(), localplane.Options{Dir: dir, APIServerArgs: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver ended by itself (exit status 1)") ||
		!strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("got %v, want the API server's own complaint", err)
	}
	if _, err := localplane.Inspect(dir); !errors.Is(err, localplane.ErrNotRunning) {
		t.Errorf("after a failed start: got %v, want %v", err, localplane.ErrNotRunning)
	}
}

func TestDataIsKeptOnlyWhenAskedTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	steps := []struct {
		what string
		keep bool
		want bool // whether the ConfigMap of the first step is there
	}{
		{what: "a first kept plane is empty", keep: true, want: false},
		{what: "a throw-away plane beside it is empty and does no harm", keep: false, want: false},
		{what: "a second throw-away plane finds nothing of the first", keep: false, want: false},
		{what: "a kept plane finds its data again", keep: true, want: true},
	}
	for _, step := range steps {
		p := start(t, t.Context(), localplane.Options{Dir: dir, Keep: step.keep, Nodes: 1})
		maps := clientsOf(t, p.RESTConfig()).CoreV1().ConfigMaps("default")
		mine := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}
		_, err := maps.Create(t.Context(), mine, metav1.CreateOptions{})
		if got := apierrors.IsAlreadyExists(err); got != step.want || (err != nil && !got) {
			t.Errorf("%s: got %v", step.what, err)
		}
		stop(t, p)
	}
}

func TestPlanesRunSideBySide(t *testing.T) {
	t.Parallel()
	first := start(t, t.Context(), localplane.Options{Dir: t.TempDir()})
	second := start(t, t.Context(), localplane.Options{Dir: t.TempDir()})
	if first.RESTConfig().Host == second.RESTConfig().Host {
		t.Errorf("both serve %s", first.RESTConfig().Host)
	}
	crossed := first.RESTConfig()
	crossed.Host = second.RESTConfig().Host
	crossed.TLSClientConfig.CAData = second.RESTConfig().CAData
	_, err := clientsOf(t, crossed).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("the first plane's administrator at the second: got %v, want unauthorized", err)
	}
}

func TestAPlaneListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	p := start(t, t.Context(), localplane.Options{Dir: t.TempDir()})
	if !strings.HasPrefix(p.RESTConfig().Host, "https://127.0.0.1:") {
		t.Errorf("the server is %s", p.RESTConfig().Host)
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(p.RESTConfig().Host, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		ip, ok := address.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.IsLinkLocalUnicast() {
			continue
		}
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(ip.IP.String(), port))
		if err == nil {
			_ = conn.Close()
			t.Errorf("the server also listens on %s", ip.IP)
		}
	}
}

func start(t *testing.T, ctx context.Context, o localplane.Options) *localplane.Plane {
	t.Helper()
	if _, err := localplane.FindBinaries(""); err != nil && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	p, err := localplane.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	outlive := context.WithoutCancel(ctx)
	t.Cleanup(func() {
		if err := p.Stop(outlive); err != nil {
			t.Error(err)
		}
	})

	return p
}

func stop(t *testing.T, p *localplane.Plane) {
	t.Helper()
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, p *localplane.Plane) {
	t.Helper()
	select {
	case <-p.Done():
	case <-t.Context().Done():
		t.Fatal("the plane did not stop")
	}
}

func assertGone(t *testing.T, processes []localplane.Process) {
	t.Helper()
	for _, process := range processes {
		if err := syscall.Kill(process.PID, 0); !errors.Is(err, syscall.ESRCH) && process.Alive() {
			t.Errorf("%s still runs as %d", process.Name, process.PID)
		}
	}
}

func assertMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
	} else if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %o, want %o", path, got, want)
	}
}

func isReady(node corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func clientsOf(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Timeout = 0
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}

	return clients
}
