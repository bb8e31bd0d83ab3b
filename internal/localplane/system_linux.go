package localplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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
