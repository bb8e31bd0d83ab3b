//go:build !linux

package localplane

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// errNotLinux is what every attempt to start a plane ends with elsewhere: only Linux can end the children when
// their parent dies in whatever way.
var errNotLinux = errors.New("a local control plane needs Linux")

func lockFile(string) (*os.File, bool, error) { return nil, false, errNotLinux }

func terminate(context.Context, Process, syscall.Signal, time.Duration) error { return errNotLinux }
