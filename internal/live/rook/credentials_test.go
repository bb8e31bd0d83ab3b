package rook

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

func TestReadCredentials(t *testing.T) {
	t.Parallel()

	own := lockstepv1alpha1.StoreCredentials{SecretName: "rook-ceph-mon", UsernameKey: "ceph-username", PasswordKey: "ceph-secret"}
	operators := lockstepv1alpha1.StoreCredentials{SecretName: "rook-ceph-operator-creds", UsernameKey: "userID", PasswordKey: "userKey"}

	cases := map[string]struct {
		data    map[string]string
		want    lockstepv1alpha1.StoreCredentials
		problem string
	}{
		"a cluster of Rook's own": {
			data: map[string]string{"ceph-username": "client.admin", "ceph-secret": "canary", "fsid": "x", "mon-secret": "canary"}, want: own,
		},
		"an external cluster": {
			data: map[string]string{"ceph-username": "client.healthchecker", "ceph-secret": "canary", "admin-secret": "admin-secret", "mon-secret": "mon-secret"},
			want: own,
		},
		"an external cluster that was imported by an older version": {
			data: map[string]string{"admin-secret": "admin-secret", "mon-secret": "mon-secret", "fsid": "x"}, want: operators,
		},
		"the same, after a newer version has read it": {
			data: map[string]string{"admin-secret": "admin-secret", "ceph-username": "client.admin", "ceph-secret": "admin-secret"}, want: operators,
		},
		"a cluster of an older version": {
			data: map[string]string{"admin-secret": "canary"}, problem: "has a key, in admin-secret, and no user",
		},
		"an external cluster with the key of the administrator": {
			data: map[string]string{"admin-secret": "canary", "ceph-username": "", "ceph-secret": ""}, problem: "has a key, in admin-secret, and no user",
		},
		"a user without a key": {data: map[string]string{"ceph-username": "client.x"}, problem: "needs ceph-username"},
		"a key without a user": {data: map[string]string{"ceph-secret": "canary"}, problem: "needs ceph-username"},
		"nothing":              {problem: "needs ceph-username"},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			data := map[string][]byte{}
			for key, value := range test.data {
				data[key] = []byte(value)
			}

			got := ReadCredentials(data)
			if diff := cmp.Diff(test.want, got.Store); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}

			if !strings.Contains(got.Problem, test.problem) || (test.problem == "") != (got.Problem == "") {
				t.Errorf("problem %q, want %q", got.Problem, test.problem)
			}

			if strings.Contains(got.Problem, "canary") {
				t.Errorf("the problem shows a secret: %q", got.Problem)
			}
		})
	}
}
