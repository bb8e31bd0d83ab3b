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

func childAttributes() *syscall.SysProcAttr { return nil }

func reservePort() (int, func(), error) { return 0, nil, errNotLinux }

func lockFile(string) (*os.File, bool, error) { return nil, false, errNotLinux }

func startOf(int) (uint64, bool) { return 0, false }

func terminate(context.Context, Process, syscall.Signal, time.Duration) error { return errNotLinux }
