package config

import "embed"

// The chart carries the same rights: it reads them from copies of these files.
//go:generate cp dialects/reload/cluster-role.yaml ../charts/lockstep/files/reload-cluster-role.yaml
//go:generate cp manager/role.yaml ../charts/lockstep/files/manager-role.yaml

// Files holds the manifests as they are in this folder: "manager" has what every installation needs, and
// "dialects" has a folder for each dialect with what it needs besides. Read only.
//
//go:embed manager dialects
var Files embed.FS
