package ceph

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
)

// refused turns the answer to a write into an error. Of the monitor's remark it takes nothing but what kind it is,
// because the refused text is in it.
func refused(setting live.Setting, prefix string, t target, name string, why error, remark string, err error) error {
	call, answered := errors.AsType[*rados.CallError](err)
	if !answered {
		return err
	}

	refusal := &store.RefusedError{Setting: setting}

	switch {
	case denied(err):
		refusal.Reason = fmt.Sprintf("the entity lacks the capability: %s", allow(prefix, t.String(), name))
	case call.Errno != syscall.EINVAL && call.Errno != syscall.ERANGE:
		return err
	case strings.HasPrefix(remark, "unrecognized config option"):
		refusal.Reason = unknown(name)
	case strings.HasPrefix(remark, "unrecognized config target"):
		refusal.Reason = fmt.Sprintf("has who %q, which this Ceph does not know", t)
	case strings.HasPrefix(remark, name+" is special"):
		refusal.Reason = special
	case why != nil:
		refusal.Reason = why.Error()
	default:
		refusal.Reason = fmt.Sprintf("has a value that the monitors do not take (%s); `ceph config help %s` says what they do", call.Errno, name)
	}

	return refusal
}

const special = "is special and cannot be stored by the monitors: a daemon needs it before it can ask them"

// unknown says that there is no such option.
func unknown(name string) string {
	if strings.HasPrefix(name, managerModule) {
		return "is unknown: the monitors learn the options of a manager's module from a manager (mgr) that is up and has the module"
	}

	return "is not an option of this Ceph"
}

// denied says whether the monitors do not let this entity.
func denied(err error) bool {
	return errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM)
}
