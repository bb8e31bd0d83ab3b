package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

const stockLease = "stakater-reloader-lock"

// header is what a configuration file says about itself.
const header = "apiVersion: config.lockstep.dev/v1alpha1\nkind: LockstepConfiguration\n"

// manage runs `lockstep manager` with a configuration file.
func (w *world) manage(configuration string, args ...string) *process {
	w.Helper()

	path := filepath.Join(w.TempDir(), "lockstep.yaml")
	w.must(os.WriteFile(path, []byte(header+configuration), 0o600))

	return start(w.TB, w.environment(), append([]string{"manager", "--config=" + path}, args...)...)
}

// replica is a manager that needs the Lease "short", which it may lose and others may take within seconds.
func (w *world) replica(identity string) *process {
	w.Helper()

	configuration := strings.NewReplacer("NAMESPACE", w.namespace, "IDENTITY", identity).Replace(`
metrics: {bindAddress: "0"}
leaderElection:
  enabled: true
  leaseName: short
  identity: IDENTITY
  leaseDuration: 3s
  renewDeadline: 2s
  retryPeriod: 200ms
reload:
  namespaces: [NAMESPACE]
`)

	return w.manage(configuration)
}

func TestALeaderThatIsKilledAmidABurstIsSucceeded(t *testing.T) {
	t.Parallel()

	const burst = 30

	w := newWorld(t)
	each(burst, func(name string) { w.create(w.secret(name, "old"), w.statefulSet(name, auto())) })

	leader := w.replica("first")
	leader.listed()
	w.leads("short", "first")
	w.recorded()

	second := w.replica("second")
	second.logged("acquire leader lease")

	// Some writes pass; then the leader dies over the others.
	var passed atomic.Int32

	held := w.hold(func(q faults.Request) bool { return on("patch", "statefulsets")(q) && passed.Add(1) > burst/3 })
	each(burst, func(name string) { w.set(w.secret(name, "new")) })
	held.wait(t)
	leader.kill()
	held.open()

	w.leads("short", "second")
	each(burst, func(name string) { carries(w, w.statefulSet(name, nil), w.secret(name, ""), "new") })
	second.settle()

	each(burst, func(name string) {
		if got := w.rollouts(w.statefulSet(name, nil)); got != 1 {
			t.Errorf("%s: %d rollouts, want 1", name, got)
		}
	})
}

func TestSection16ALeaderThatIsTerminatedHandsOverAtOnce(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.as(append(stockRules(), rule("coordination.k8s.io", "leases", "create get update")))

	app := w.statefulSet("app", auto())
	w.create(w.secret("app", "old"), app)

	replica := func(name string) *process {
		return w.reloadWith([]string{"POD_NAME=" + name, "POD_NAMESPACE=" + w.home}, "--enable-ha")
	}

	leader := replica("first")
	leader.listed()
	w.leads(stockLease, "first")
	w.recorded()

	second := replica("second")
	second.logged("acquire leader lease")
	leader.settle()

	ended := time.Now()

	w.set(w.secret("app", "new"))
	w.leads(stockLease, "second")

	// A lease that is not given back is free after 15 s; one that is, at the next look of the other, every 2 s.
	if took := time.Since(ended); took > 10*time.Second {
		t.Errorf("the other took over after %s, want about 2 s", took)
	}

	carries(w, app, w.secret("app", ""), "new")
	second.settle()

	if got := w.rollouts(app); got != 1 {
		t.Errorf("%d rollouts, want 1", got)
	}
}

func TestSection16ALeaderThatCannotRenewItsLeaseEnds(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	p := w.replica("only")
	p.listed()
	w.leads("short", "only")

	w.proxy.Add(faults.Rule{
		Match:  func(q faults.Request) bool { return q.Resource == "leases" && q.Writes() },
		Status: http.StatusInternalServerError,
	})

	if code := p.exit(); code == 0 {
		t.Error("the exit code is 0, want another: nobody would start the process again")
	}

	p.logged("leader election lost")
}
