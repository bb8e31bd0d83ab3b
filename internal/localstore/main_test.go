package localstore_test

import (
	"os"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMain(m *testing.M) { os.Exit(stores.Main(m.Run)) }
