//go:build linux && !noceph

package rados

import (
	"fmt"
	"sync"

	"github.com/ebitengine/purego"
)

// libraryName is the name that librados has had since 2011: its functions are only ever added to.
const libraryName = "librados.so.2"

// functions are those of librados that are used. Handles and buffers of C are *byte; nothing is read through a handle.
// Each blocks the thread that calls it.
type functions struct {
	create           func(handle **byte, clusterName, entity string, flags uint64) int32
	configure        func(handle *byte, option, text string) int32
	connect          func(handle *byte) int32
	shutdown         func(handle *byte)
	freeBuffer       func(buffer *byte)
	monCommand       func(handle *byte, command **byte, commands uintptr, in *byte, inLen uintptr, out **byte, outLen *uintptr, status **byte, statusLen *uintptr) int32
	monCommandTarget func(handle *byte, monitor string, command **byte, commands uintptr, in *byte, inLen uintptr, out **byte, outLen *uintptr, status **byte, statusLen *uintptr) int32
}

// Library is librados. It is opened at the first connection and never closed, because its threads may outlive a
// connection. It is safe for concurrent use.
type Library struct {
	name string
	once sync.Once
	fn   functions
	err  error
}

// New returns the library. Nothing is opened yet.
func New() *Library { return &Library{name: libraryName} }

// open opens the library once. The error is a [*MissingLibraryError].
func (l *Library) open() error {
	l.once.Do(func() {
		if err := l.load(); err != nil {
			l.err = &MissingLibraryError{Library: l.name, Reason: err.Error()}
		}
	})

	return l.err
}

func (l *Library) load() error {
	handle, err := purego.Dlopen(l.name, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("dlopen: %w", err)
	}

	for name, function := range map[string]any{
		"rados_create2":            &l.fn.create,
		"rados_conf_set":           &l.fn.configure,
		"rados_connect":            &l.fn.connect,
		"rados_shutdown":           &l.fn.shutdown,
		"rados_buffer_free":        &l.fn.freeBuffer,
		"rados_mon_command":        &l.fn.monCommand,
		"rados_mon_command_target": &l.fn.monCommandTarget,
	} {
		address, err := purego.Dlsym(handle, name)
		if err != nil {
			return fmt.Errorf("dlsym: %w", err)
		}

		purego.RegisterFunc(function, address)
	}

	return nil
}
