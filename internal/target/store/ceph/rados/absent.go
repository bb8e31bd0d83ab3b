//go:build !linux || noceph

package rados

import "context"

// Library stands for librados in a program that was built without the binding.
type Library struct{}

// New returns the library.
func New() *Library { return &Library{} }

// Connect fails with [ErrNotBuilt].
func (*Library) Connect(context.Context, Options) (*Cluster, error) { return nil, ErrNotBuilt }

// Cluster is a connection that nobody ever gets.
type Cluster struct{}

var _ Commander = (*Cluster)(nil)

// Do fails with [ErrNotBuilt].
func (*Cluster) Do(context.Context, map[string]any) (Reply, error) { return Reply{}, ErrNotBuilt }

// Tell fails with [ErrNotBuilt].
func (*Cluster) Tell(context.Context, string, map[string]any) (Reply, error) {
	return Reply{}, ErrNotBuilt
}

// Close does nothing.
func (*Cluster) Close() {}

// Down is closed.
func (*Cluster) Down() <-chan struct{} {
	down := make(chan struct{})
	close(down)

	return down
}
