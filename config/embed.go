package config

import "embed"

// The chart carries the same definitions and rights: it reads them from copies of these files.
//go:generate cp manager/role.yaml ../charts/lockstep/files/manager-role.yaml
//go:generate cp dialects/reload/cluster-role.yaml ../charts/lockstep/files/reload-cluster-role.yaml
//go:generate cp dialects/graph/cluster-role.yaml ../charts/lockstep/files/graph-cluster-role.yaml
//go:generate cp dialects/graph/cluster-role-aggregated.yaml ../charts/lockstep/files/graph-cluster-role-aggregated.yaml
//go:generate cp dialects/graph/unrestricted/cluster-role.yaml ../charts/lockstep/files/graph-cluster-role-unrestricted.yaml
//go:generate cp dialects/graph/cluster-role-edit.yaml ../charts/lockstep/files/graph-cluster-role-edit.yaml
//go:generate cp dialects/graph/cluster-role-view.yaml ../charts/lockstep/files/graph-cluster-role-view.yaml
//go:generate cp dialects/graph/crd/kro.run_resourcegraphdefinitions.yaml ../charts/lockstep/files/graph-crd-resourcegraphdefinitions.yaml
//go:generate cp dialects/graph/crd/internal.kro.run_graphrevisions.yaml ../charts/lockstep/files/graph-crd-graphrevisions.yaml
//go:generate cp dialects/live/cluster-role.yaml ../charts/lockstep/files/live-cluster-role.yaml
//go:generate cp dialects/live/rook/cluster-role.yaml ../charts/lockstep/files/live-cluster-role-rook.yaml
//go:generate cp dialects/live/cluster-role-edit.yaml ../charts/lockstep/files/live-cluster-role-edit.yaml
//go:generate cp dialects/live/cluster-role-view.yaml ../charts/lockstep/files/live-cluster-role-view.yaml
//go:generate cp dialects/live/role.yaml ../charts/lockstep/files/live-role.yaml
//go:generate cp dialects/live/crd/lockstep.dev_liveconfigs.yaml ../charts/lockstep/files/live-crd-liveconfigs.yaml
//go:generate cp dialects/live/crd/lockstep.dev_livestores.yaml ../charts/lockstep/files/live-crd-livestores.yaml

// Files holds the manifests as they are in this folder: "manager" has what every installation needs, and
// "dialects" has a folder for each dialect with what it needs besides. Read only.
//
//go:embed manager dialects
var Files embed.FS
