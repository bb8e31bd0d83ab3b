//go:build !linux

package main

import "syscall"

// processAttributes changes nothing: the benchmark reads /proc and needs Linux, elsewhere it only compiles.
func processAttributes() *syscall.SysProcAttr { return nil }
