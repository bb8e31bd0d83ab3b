package apply

import (
	"os"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) { os.Exit(plane.Main(m)) }
