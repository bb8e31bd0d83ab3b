//go:build !linux

package process

import (
	"errors"
	"syscall"
)

// errNotLinux is what every attempt to start a process ends with elsewhere: only Linux can end the children when
// their parent dies in whatever way.
var errNotLinux = errors.New("processes that end with us need Linux")

func attributes(*User) *syscall.SysProcAttr { return nil }

// ReservePort needs Linux.
func ReservePort() (int, func(), error) { return 0, nil, errNotLinux }

// Started needs Linux.
func Started(int) (uint64, bool) { return 0, false }

// Pause needs Linux.
func (c *Child) Pause() error { return errNotLinux }

// Resume needs Linux.
func (c *Child) Resume() error { return errNotLinux }

// Kill needs Linux.
func (c *Child) Kill() error { return errNotLinux }
