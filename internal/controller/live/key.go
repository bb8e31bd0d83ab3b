package live

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// KeySecret is the Secret in the manager's namespace with the key of all digests of this installation. Without it the
// digest of a password that is easy to guess would tell the password.
const KeySecret = "lockstep-live-key" //nolint:gosec // a name, not a secret

const (
	keyField  = "key"
	keyLength = 32
	// digestLength is how many bytes of a digest are shown: enough to tell values apart.
	digestLength = 16
)

// key makes digests that nobody can make who does not have it.
type key []byte

// loadKey reads the key of this installation, and makes one the first time.
func loadKey(ctx context.Context, c client.Client, namespace string) (key, error) {
	where := client.ObjectKey{Namespace: namespace, Name: KeySecret}

	// One of two managers that begin at the same time makes it, and the other one then finds it.
	for range 2 {
		var secret corev1.Secret

		err := c.Get(ctx, where, &secret)
		if err == nil {
			if k := secret.Data[keyField]; len(k) >= keyLength {
				return k, nil
			}

			return nil, fmt.Errorf("secret %s has no key of %d bytes in its field %s: delete it, and a new one is made; "+
				"all settings are then compared with their stores once more", where, keyLength, keyField)
		}

		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read the key of digests, Secret %s: %w", where, err)
		}

		made := make([]byte, keyLength)
		_, _ = rand.Read(made) // it never fails

		err = c.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: KeySecret},
			Immutable:  new(true),
			Data:       map[string][]byte{keyField: made},
		})
		if err == nil {
			return made, nil
		}

		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("make the key of digests, Secret %s: %w", where, err)
		}
	}

	return nil, fmt.Errorf("read the key of digests: Secret %s comes and goes", where)
}

// digest is the keyed digest of a text, in hex.
func (k key) digest(text string) string {
	mac := hmac.New(sha256.New, k)
	_, _ = mac.Write([]byte(text)) // a hash takes everything

	return hex.EncodeToString(mac.Sum(nil)[:digestLength])
}
