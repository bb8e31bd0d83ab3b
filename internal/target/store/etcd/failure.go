package etcd

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// endedError is the server's reason to end a watch, which is one of its fixed texts; empty when it gave none.
type endedError string

// Error says that it was the server who ended it.
func (e endedError) Error() string {
	if e == "" {
		return "the watch has ended"
	}

	return "the server has ended the watch: " + string(e)
}

// isLogin says that the server does not know who we are.
func isLogin(err error) bool {
	return is(err, rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound, rpctypes.ErrInvalidAuthToken)
}

// isDenied says that the server knows who we are and does not let this user do it.
func isDenied(err error) bool { return is(err, rpctypes.ErrPermissionDenied) }

// is says whether an error is one of these, which are the server's. The client library returns them in two forms.
func is(err error, these ...error) bool {
	err = rpctypes.Error(err)
	for _, one := range these {
		if errors.Is(err, one) {
			return true
		}
	}

	return false
}

// reason is what an error says, as far as it can be shown to anybody. The server's own errors are fixed texts; those of a connection
// speak of addresses and certificates. Of all others only the class is told: nobody knows what is in them.
func reason(err error) string {
	err = rpctypes.Error(err)
	if known, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return known.Error()
	}
	if ended, ok := errors.AsType[endedError](err); ok {
		return ended.Error()
	}
	s, ok := status.FromError(err)
	switch {
	case !ok:
		return "the connection failed"
	case s.Code() == codes.Unavailable || s.Code() == codes.DeadlineExceeded:
		return s.Message()
	default:
		return "the request failed with the class " + s.Code().String()
	}
}

// refusal is why the server refuses a whole transaction, and what to do about it; empty when it does not.
func refusal(err error) string {
	switch {
	case is(err, rpctypes.ErrTooManyOps):
		return "the change has more keys than its limit for one transaction (--max-txn-ops, 128 by default); divide it between " +
			"several LiveConfigs, or raise the limit of the server"
	case is(err, rpctypes.ErrRequestTooLarge):
		return "the change is larger than its limit for one request (--max-request-bytes, 1.5 MiB by default); divide it between " +
			"several LiveConfigs, or raise the limit of the server"
	default:
		return ""
	}
}
