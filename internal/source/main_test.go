package source

import (
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"k8s.io/klog/v2"

	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // the reflectors of servers in trouble complain to it

	code := plane.Main(m)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)

		code = max(code, 1)
	}

	os.Exit(code)
}
