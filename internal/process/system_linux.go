package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes puts a child in a process group of its own, so that Ctrl-C in a terminal reaches only us, and has the
// kernel kill it when the thread that started it ends.
func attributes(user *User) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if user != nil {
		attributes.Credential = &syscall.Credential{Uid: user.UID, Gid: user.GID}
	}

	return attributes
}

// ReservePort binds a free loopback port without listening on it. Nobody is given the port while it is held, and a
// process that asks to share it can listen there: no other process can slip in between. To ask for SO_REUSEADDR is
// enough, and nearly every server does; one that asks for SO_REUSEPORT must be of the same user. The caller calls release
// when the port is needed no more.
func ReservePort() (port int, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	release = func() { _ = unix.Close(fd) }
	port, err = bind(fd)
	if err != nil {
		release()

		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}

	return port, release, nil
}

// bind binds the socket to a port of the kernel's choice.
func bind(fd int) (int, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, err //nolint:wrapcheck // the caller does
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err //nolint:wrapcheck // the caller does
	}
	// Only now: whoever lets the kernel choose and shares addresses may be given one that is shared as well.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return 0, err //nolint:wrapcheck // the caller does
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err //nolint:wrapcheck // the caller does
	}
	address, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("unexpected address %T", name)
	}

	return address.Port, nil
}

// stat is what the kernel tells of a process.
type stat struct {
	parent  int
	started uint64
}

// Started returns when the process with this pid was started, in clock ticks since the machine's boot, and false when
// there is none or when it has ended and only waits to be collected.
func Started(pid int) (uint64, bool) {
	s, ok := statOf(pid)

	return s.started, ok
}

func statOf(pid int) (stat, bool) {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	// The second field, the name, may itself hold spaces and brackets: count from its last closing bracket.
	text := string(content)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const state, parent, started = 0, 1, 19
	if len(fields) <= started || fields[state] == "Z" || fields[state] == "X" {
		return stat{}, false
	}
	ppid, err := strconv.Atoi(fields[parent])
	if err != nil {
		return stat{}, false
	}
	ticks, err := strconv.ParseUint(fields[started], 10, 64)

	return stat{parent: ppid, started: ticks}, err == nil
}

// Pause stops the process and all that it has started, without their knowing. Those who are connected to it wait.
func (c *Child) Pause() error {
	members, err := c.halt()
	defer closeAll(members)

	return err
}

// Resume lets a paused process and all that it has started go on. Nothing happens if it was not paused.
func (c *Child) Resume() error {
	// They stand still, so a single look finds them all. The first of them last: it may start others at once.
	members, err := c.tree()
	defer closeAll(members)
	for i := len(members) - 1; err == nil && i >= 0; i-- {
		err = send(members[i], unix.SIGCONT)
	}

	return c.named("resume", err)
}

// Kill ends the process and all that it has started at once, paused or not, and waits until they have gone.
func (c *Child) Kill() error {
	members, err := c.halt()
	defer closeAll(members)
	errs := []error{err}
	for _, fd := range members {
		errs = append(errs, c.named("kill", send(fd, unix.SIGKILL)))
	}
	for _, fd := range members {
		errs = append(errs, c.named("kill", ended(fd)))
	}
	if errors.Join(errs...) == nil {
		<-c.exited
	}

	return errors.Join(errs...)
}

// halt stops the process and its descendants, and returns a descriptor of each. One that is about to start another when
// it is stopped has done it or not: look again until there is none that was not stopped before.
func (c *Child) halt() ([]int, error) {
	for before := 0; ; {
		members, err := c.tree()
		for _, fd := range members {
			err = errors.Join(err, send(fd, unix.SIGSTOP))
		}
		if err != nil || len(members) == before {
			return members, c.named("pause", err)
		}
		before = len(members)
		closeAll(members)
	}
}

// tree returns descriptors of the process and its descendants, parents first; none when it has gone. A descriptor pins
// its process: nobody else is signalled who has got its pid meanwhile.
func (c *Child) tree() ([]int, error) {
	root, found, err := open(c.PID(), func(s stat) bool { return s.started == c.started })
	if err != nil || !found {
		return nil, err
	}
	parents, err := processes()
	if err != nil {
		return []int{root}, err
	}
	members, pids := []int{root}, []int{c.PID()}
	for i := 0; i < len(pids); i++ {
		for pid, parent := range parents {
			if parent != pids[i] {
				continue
			}
			fd, found, err := open(pid, func(s stat) bool { return s.parent == parent })
			if err != nil {
				return members, err
			}
			if found {
				members, pids = append(members, fd), append(pids, pid)
			}
		}
	}

	return members, nil
}

// processes returns the parent of each process of the machine.
func processes() (map[int]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	parents := make(map[int]int, len(dirs))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if s, ok := statOf(pid); ok {
			parents[pid] = s.parent
		}
	}

	return parents, nil
}

// open returns a descriptor of the process with this pid, if it is the one that is meant.
func open(pid int, meant func(stat) bool) (fd int, found bool, err error) {
	fd, err = unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("open process %d: %w", pid, err)
	}
	if s, ok := statOf(pid); !ok || !meant(s) {
		_ = unix.Close(fd)

		return 0, false, nil
	}

	return fd, true, nil
}

// send signals a process; one that has gone needs it no more.
func send(fd int, signal unix.Signal) error {
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal: %w", err)
	}

	return nil
}

// ended waits until a process that was killed has gone.
func ended(fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a descriptor is a small number
	for {
		n, err := unix.Poll(fds, int(killTime.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for the end: %w", err)
		case n == 0:
			return errors.New("it did not end")
		default:
			return nil
		}
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

func (c *Child) named(what string, err error) error {
	if err == nil {
		return nil
	}

	return fmt.Errorf("%s process %d of %s: %w", what, c.PID(), c.name, err)
}
