// Package rook is the controller that serves Rook's own API: for a CephCluster with cephConfigFromSecret, or a
// CephObjectStore with rgwConfigFromSecret, it keeps a LiveStore and LiveConfigs, and tells on the object of Rook how far
// they are. What the settings are is decided in internal/live/rook; they are carried to Ceph by the dialect of live settings,
// like those that people write themselves.
//
// The kinds of Rook may be there or not, and come or go. In each namespace with an object of theirs, four things are
// watched: the ConfigMap with the monitors and the Secret with the login, both by name, and the LiveStores and LiveConfigs.
// A namespace that is as it should be costs no request.
package rook
