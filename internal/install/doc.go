// Package install puts what Lockstep needs on a cluster and takes it away again: custom resource definitions,
// admission policies, rights, and the manager itself when it runs there.
//
// [Render] turns the manifests into the objects of one installation; an [Installer] applies or removes them.
// Every object carries a label by which it is known again, and nothing without that label is ever deleted.
package install
