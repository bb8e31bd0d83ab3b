package e2e

import "syscall"

// attributes have the kernel kill a process when the thread that started it ends: a test binary that panics or runs
// out of time leaves nothing behind.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
