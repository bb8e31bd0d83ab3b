//go:build !linux

package e2e

import "syscall"

// attributes are the usual ones where the kernel knows no better.
func attributes() *syscall.SysProcAttr { return nil }
