package main

import "syscall"

// processAttributes gives a controller a process group of its own, so that Ctrl-C in a terminal reaches only us, and
// has the kernel kill it when the thread that started it ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
