package etcd

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAReasonTellsOnlyWhatIsKnownToBeHarmless(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err  error
		want string
	}{
		"the server's own error":              {rpctypes.ErrNoSpace, "etcdserver: mvcc: database space exceeded"},
		"as it comes over the wire":           {rpctypes.ErrGRPCNoSpace, "etcdserver: mvcc: database space exceeded"},
		"why there is no connection":          {status.Error(codes.Unavailable, "dial tcp: refused"), "dial tcp: refused"},
		"the class of what is not known":      {status.Error(codes.Unknown, canary), "the request failed with the class Unknown"},
		"nothing of what is no answer at all": {errors.New(canary), "the connection failed"},
		"why a watch has ended":               {endedError("etcdserver: permission denied"), "the server has ended the watch: etcdserver: permission denied"},
		"that nobody knows why":               {endedError(""), "the watch has ended"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := reason(test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestARefusalNamesTheLimitAndWhatToDo(t *testing.T) {
	t.Parallel()
	for err, limit := range map[error]string{
		rpctypes.ErrTooManyOps: "128", rpctypes.ErrGRPCTooManyOps: "128",
		rpctypes.ErrRequestTooLarge: "1.5 MiB", rpctypes.ErrGRPCRequestTooLarge: "1.5 MiB",
	} {
		if got := refusal(err); !strings.Contains(got, limit) || !strings.Contains(got, "divide it") {
			t.Errorf("%v: got %q, want the limit and what to do", err, got)
		}
	}
	// The write may have been made, and somebody can make room again.
	if got := refusal(rpctypes.ErrNoSpace); got != "" {
		t.Errorf("a full database: got the refusal %q", got)
	}
}
