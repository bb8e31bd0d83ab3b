package localplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childAttributes puts a child in a process group of its own, so that Ctrl-C in a terminal reaches only us, and has
// the kernel kill it when the thread that started it ends.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// reservePort binds a free loopback port without listening on it. Nobody else is given the port while it is held,
// and a process of the same user that also asks to share it can listen there: no other process can slip in between.
// The caller calls release when the port has found its owner.
func reservePort() (port int, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	release = func() { _ = unix.Close(fd) }
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		release()

		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		release()

		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		release()

		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	address, ok := name.(*unix.SockaddrInet4)
	if !ok {
		release()

		return 0, nil, fmt.Errorf("reserve a port: unexpected address %T", name)
	}

	return address.Port, release, nil
}

// lockFile takes an exclusive lock that the kernel gives back when this process ends. It returns false when another
// process holds it.
func lockFile(path string) (*os.File, bool, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("open the lock: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return file, true, nil
	}
	_ = file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, false, nil
	}

	return nil, false, fmt.Errorf("lock %s: %w", path, err)
}

// startOf returns when the process with this pid was started, in clock ticks since the machine's boot, and false
// when there is none or when it has ended and only waits to be collected.
func startOf(pid int) (uint64, bool) {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The second field, the name, may itself hold spaces and brackets: count from its last closing bracket.
	stat := string(content)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const state, started = 0, 19
	if len(fields) <= started || fields[state] == "Z" || fields[state] == "X" {
		return 0, false
	}
	ticks, err := strconv.ParseUint(fields[started], 10, 64)

	return ticks, err == nil
}

// terminate sends the signal to the process and waits until it has gone; after grace, or when ctx ends, it kills
// it. It touches nothing when the pid is free or has been given to another process: the descriptor pins the
// process, so it cannot change between the check and the signal.
func terminate(ctx context.Context, p Process, signal syscall.Signal, grace time.Duration) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d of %s: %w", p.PID, p.Name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !p.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d of %s: %w", p.PID, p.Name, err)
	}
	if ended(ctx, fd, grace) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d of %s: %w", p.PID, p.Name, err)
	}
	// After SIGKILL only the kernel's own work is left; neither a cancelled context nor a short grace must leave us unsure.
	if !ended(context.WithoutCancel(ctx), fd, max(grace, killTime)) {
		return fmt.Errorf("process %d of %s did not end", p.PID, p.Name)
	}

	return nil
}

// killTime is what the kernel gets to end a process that was killed, on a busy machine.
const killTime = 10 * time.Second

// ended waits until the process has ended, and returns false when ctx or the time is over before.
func ended(ctx context.Context, fd int, limit time.Duration) bool {
	wake, cancelled, err := os.Pipe()
	if err != nil {
		return false
	}
	defer func() { _ = wake.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = cancelled.Close() })
	defer func() {
		if stop() {
			_ = cancelled.Close()
		}
	}()
	fds := []unix.PollFd{
		{Fd: int32(fd), Events: unix.POLLIN},        //nolint:gosec // a descriptor is a small number
		{Fd: int32(wake.Fd()), Events: unix.POLLIN}, //nolint:gosec // a descriptor is a small number
	}
	for {
		_, err := unix.Poll(fds, int(limit.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return err == nil && fds[0].Revents != 0
		}
	}
}
