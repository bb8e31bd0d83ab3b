package rook

import (
	"fmt"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// CredentialsSecret is the Secret in which Rook keeps the login to the cluster in a namespace.
const CredentialsSecret = "rook-ceph-mon" //nolint:gosec // a name

// The keys of the Secret.
const (
	keyUser   = "ceph-username"
	keySecret = "ceph-secret"
	// keyAdmin is what older versions of Rook wrote instead, for the user client.admin. Newer ones add the two others as
	// soon as their operator reads the Secret.
	keyAdmin = "admin-secret"
	// placeholder is the value, of keySecret or keyAdmin, with which an external cluster that was imported by an older
	// version refers to another Secret.
	placeholder = "admin-secret"
)

// The Secret that the placeholder refers to, and its keys.
const (
	operatorSecret  = "rook-ceph-operator-creds" //nolint:gosec // a name
	operatorUser    = "userID"
	operatorUserKey = "userKey"
)

// Credentials are where a login is. It can be compared.
type Credentials struct {
	Store lockstepv1alpha1.StoreCredentials
	// Problem says why there is no login; empty when there is.
	Problem string
}

// ReadCredentials looks at the data of [CredentialsSecret]. No value is kept.
func ReadCredentials(data map[string][]byte) *Credentials {
	user, secret, admin := len(data[keyUser]) > 0, string(data[keySecret]), string(data[keyAdmin])

	switch {
	case secret == placeholder, secret == "" && !user && admin == placeholder:
		return &Credentials{Store: lockstepv1alpha1.StoreCredentials{
			SecretName: operatorSecret, UsernameKey: operatorUser, PasswordKey: operatorUserKey,
		}}
	case user && secret != "":
		return &Credentials{Store: credentialsIn(CredentialsSecret)}
	case admin != "" && admin != placeholder:
		return &Credentials{Problem: fmt.Sprintf(
			"the Secret %s has a key, in %s, and no user: add %s with the value client.admin, and %s with that of %s. "+
				"The operator of a current Rook does so when it starts",
			CredentialsSecret, keyAdmin, keyUser, keySecret, keyAdmin)}
	default:
		return &Credentials{Problem: fmt.Sprintf(
			"the Secret %s needs %s, such as client.admin, and %s, the key of that user", CredentialsSecret, keyUser, keySecret)}
	}
}

// credentialsIn are Rook's keys in a Secret.
func credentialsIn(secret string) lockstepv1alpha1.StoreCredentials {
	return lockstepv1alpha1.StoreCredentials{SecretName: secret, UsernameKey: keyUser, PasswordKey: keySecret}
}
