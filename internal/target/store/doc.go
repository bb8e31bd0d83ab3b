// Package store is the seam to the running stores whose settings are kept live. Each type of store is a package below
// with a [Driver]; what a driver can do beyond reading and applying are optional interfaces of its sessions.
//
// No error and no log line of a driver has a value in it: values may be secrets.
package store
