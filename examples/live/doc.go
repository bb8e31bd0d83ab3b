// Package live holds live settings to learn from and to copy, each in a folder of its own:
//
//   - rights.sql, rights.redis and rights.sh are what an administrator gives the user of a LiveStore in PostgreSQL, with
//     redis-cli and with ceph: no more than it needs,
//   - stores.yaml are the LiveStores and their logins; put in your addresses, and keys for those that are a placeholder,
//   - config.yaml is what is to be live, and where its values are,
//   - changed.yaml, where there is one, are the values after a rotation.
//
// external-secrets has besides what asks External Secrets and the Vault Secrets Operator for a Secret, and the Secrets that
// they write.
package live

import "embed"

// Files holds the folders. Read only.
//
//go:embed */*
var Files embed.FS
