package apply

import "sigs.k8s.io/controller-runtime/pkg/client"

// NewWriter returns a client whose every write carries the field owner. Reads go to the server.
func NewWriter(c client.Client, owner string) client.Client {
	return client.WithFieldOwner(c, owner)
}
