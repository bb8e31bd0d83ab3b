// Package refs knows who reads what: which ConfigMaps, Secrets and SecretProviderClasses a pod template
// refers to, and, the other way round, which workloads a change of one of them concerns.
//
// Everything here is values in, values out. Only [Index] holds state; it is safe for concurrent use.
package refs
