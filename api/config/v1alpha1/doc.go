// Package v1alpha1 holds LockstepConfiguration, the file that configures a manager. It is read from a file, never
// from the API server.
package v1alpha1
