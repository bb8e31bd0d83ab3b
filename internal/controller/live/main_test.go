package live_test

import (
	"os"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/testing/plane"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMain(m *testing.M) { os.Exit(stores.Main(func() int { return plane.Main(m) })) }
