package rados

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// ErrNotBuilt is matched by every connection of a program that was built without the binding.
var ErrNotBuilt = errors.New("this program was built without Ceph: it needs Linux, and no build tag noceph")

// ErrClosed is matched by calls on a connection that was closed.
var ErrClosed = errors.New("the connection to Ceph is closed")

// MissingLibraryError says that librados is not there to be opened, or is not one.
type MissingLibraryError struct {
	// Library is the file that was asked for.
	Library string
	// Reason is what the system's loader said.
	Reason string
}

// Error names the package to be installed.
func (e *MissingLibraryError) Error() string {
	return fmt.Sprintf("open %s: %s; install Ceph's client library, the package librados2 (of Debian and of RPM systems)",
		e.Library, e.Reason)
}

// CallError says that a call of librados failed. It has nothing of the call's texts.
type CallError struct {
	// Call is what was asked for: "connect", or the prefix of a command such as "config set".
	Call string
	// Errno is the error of the monitor or of the library.
	Errno syscall.Errno
}

// Error names the call and the error, by name and number.
func (e *CallError) Error() string {
	return fmt.Sprintf("%s: %s (errno %d)", e.Call, e.Errno, int(e.Errno))
}

// Unwrap returns the error number.
func (e *CallError) Unwrap() error { return e.Errno }

// Options are those of one connection.
type Options struct {
	// Hosts are the monitors as mon_host has them, joined by commas.
	Hosts string
	// Entity is who logs in, such as client.lockstep, and Key its key.
	Entity, Key string
	// Connect and Command bound what the library does, in full seconds: less is rounded up, so the caller's context has to
	// bound what it waits for. Both are above zero.
	Connect, Command time.Duration
}

// Reply is the answer of a monitor.
type Reply struct {
	// Out is what the command returns, nil for nothing.
	Out []byte
	// Status is the monitor's remark. It often has the text in it that was refused: do not pass it on.
	Status string
}

// Commander sends commands to the monitors. It is safe for concurrent use.
type Commander interface {
	// Do sends a command to any monitor. A call returns when its context ends, with the context's cause, while the command may
	// go on: nobody knows what comes of it. The error is a [*CallError] when the library or the monitor says no, of which
	// ETIMEDOUT means also that nobody knows; the reply has the monitor's remark then too.
	Do(ctx context.Context, command map[string]any) (Reply, error)
	// Tell is Do to one monitor, by its name without "mon.".
	Tell(ctx context.Context, monitor string, command map[string]any) (Reply, error)
}

// encode writes a command as JSON. It fails for a text that is not UTF-8, which JSON cannot carry: Go would replace it
// silently.
func encode(command map[string]any) (string, error) {
	for key, value := range command {
		if text, ok := value.(string); ok && !utf8.ValidString(text) {
			return "", fmt.Errorf("%s: the argument %s is not UTF-8", prefixOf(command), key)
		}
	}

	var b bytes.Buffer

	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)

	if err := encoder.Encode(command); err != nil {
		return "", fmt.Errorf("encode a command: %w", err)
	}

	return strings.TrimSuffix(b.String(), "\n"), nil
}

// prefixOf returns what a command asks for.
func prefixOf(command map[string]any) string {
	prefix, _ := command["prefix"].(string)

	return prefix
}

// wholeSeconds rounds up: what is rounded down to zero would mean for ever.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10)
}

// setting is an option of the client itself.
type setting struct{ option, text string }

// configuration is the client's whole configuration, in the order in which it is given. What is set here outranks what
// the monitors send to their clients.
func (o Options) configuration() []setting {
	return []setting{
		{"mon_host", o.Hosts},
		{"key", o.Key},
		// The key above is the only one: no keyring of the machine is looked for.
		{"keyring", ""},
		{"client_mount_timeout", wholeSeconds(o.Connect)},
		{"rados_mon_op_timeout", wholeSeconds(o.Command)},
		{"log_file", ""},
		{"log_to_file", "false"},
		{"log_to_stderr", "false"},
		{"err_to_stderr", "false"},
		{"log_to_syslog", "false"},
		{"err_to_syslog", "false"},
		{"admin_socket", ""},
	}
}

// check refuses what C would cut off.
func (o Options) check() error {
	for _, text := range []string{o.Hosts, o.Entity, o.Key} {
		if strings.Contains(text, "\x00") {
			return errors.New("connect: the monitors' addresses, the entity or its key have a NUL character in them")
		}
	}

	return nil
}
