package reload_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) {
	// Each controller logs to its own journal.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())

	code := plane.Main(m)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)

		code = max(code, 1)
	}

	os.Exit(code)
}
