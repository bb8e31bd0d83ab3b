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
	// Only root may change users, also to what it is already.
	if user != nil && *user != (User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}) { //nolint:gosec // ids are small numbers
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
	stopped bool
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

	return stat{parent: ppid, started: ticks, stopped: fields[state] == "T" || fields[state] == "t"}, err == nil
}

// member is a process of a tree. The descriptor pins it: nobody else is signalled who has got its pid meanwhile.
type member struct{ pid, fd int }

// Pause stops the process and all that it has started, without their knowing, and returns when they stand still. Those who
// are connected to it wait.
func (c *Child) Pause() error {
	members, err := c.halt()
	defer closeAll(members)

	return c.named("pause", err)
}

// Resume lets a paused process and all that it has started go on. Nothing happens if it was not paused.
func (c *Child) Resume() error {
	// They stand still, so a single look finds them all. The first of them last: it may start others at once.
	members, err := c.tree()
	defer closeAll(members)
	for i := len(members) - 1; err == nil && i >= 0; i-- {
		err = send(members[i].fd, unix.SIGCONT)
	}

	return c.named("resume", err)
}

// Kill ends the process and all that it has started at once, paused or not, and waits until they have gone.
func (c *Child) Kill() error {
	members, err := c.halt()
	defer closeAll(members)
	errs := []error{err}
	for _, m := range members {
		errs = append(errs, send(m.fd, unix.SIGKILL))
	}
	for _, m := range members {
		errs = append(errs, ended(m.fd))
	}
	if err := errors.Join(errs...); err != nil {
		return c.named("kill", err)
	}
	<-c.exited

	return nil
}

// halt stops the process and its descendants, and returns them. One that was about to start another when it was stopped
// has done it or not: look again until there is none that was not stopped before.
func (c *Child) halt() ([]member, error) {
	for before := 0; ; {
		members, err := c.tree()
		for _, m := range members {
			err = errors.Join(err, send(m.fd, unix.SIGSTOP))
		}
		for _, m := range members {
			err = errors.Join(err, stopped(m.pid))
		}
		if err != nil || len(members) == before {
			return members, err
		}
		before = len(members)
		closeAll(members)
	}
}

// tree returns the process and its descendants, parents first; none when it has gone.
func (c *Child) tree() ([]member, error) {
	root, found, err := open(c.PID(), func(s stat) bool { return s.started == c.started })
	if err != nil || !found {
		return nil, err
	}
	members := []member{root}
	parents, err := processes()
	for i := 0; err == nil && i < len(members); i++ {
		var children []member
		children, err = childrenOf(members[i].pid, parents)
		members = append(members, children...)
	}

	return members, err
}

// childrenOf returns the children of one process, of the parents that all processes have.
func childrenOf(parent int, parents map[int]int) ([]member, error) {
	var children []member
	for pid, its := range parents {
		if its != parent {
			continue
		}
		child, found, err := open(pid, func(s stat) bool { return s.parent == parent })
		if err != nil {
			return children, err
		}
		if found {
			children = append(children, child)
		}
	}

	return children, nil
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

// open returns the process with this pid, if it is the one that is meant.
func open(pid int, meant func(stat) bool) (m member, found bool, err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // gone, or only waits to be collected
		return member{}, false, nil
	}
	if err != nil {
		return member{}, false, fmt.Errorf("open process %d: %w", pid, err)
	}
	if s, ok := statOf(pid); !ok || !meant(s) {
		_ = unix.Close(fd)

		return member{}, false, nil
	}

	return member{pid: pid, fd: fd}, true, nil
}

// send signals a process; one that has gone needs it no more.
func send(fd int, signal unix.Signal) error {
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal: %w", err)
	}

	return nil
}

// stopped waits until a process that was stopped stands still or has gone. Until one of its threads takes the signal, which on
// a busy machine is milliseconds later, the others go on as before. Nothing tells of it but the kernel's table.
func stopped(pid int) error {
	for range killTime.Milliseconds() {
		if s, ok := statOf(pid); !ok || s.stopped {
			return nil
		}
		if _, err := unix.Poll(nil, 1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait until it stands still: %w", err)
		}
	}

	return errors.New("it does not stop")
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

func closeAll(members []member) {
	for _, m := range members {
		_ = unix.Close(m.fd)
	}
}

func (c *Child) named(what string, err error) error {
	if err == nil {
		return nil
	}

	return fmt.Errorf("%s process %d of %s: %w", what, c.PID(), c.name, err)
}
