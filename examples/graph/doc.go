// Package graph holds definitions to learn from and to copy, each in a folder of its own:
//
//   - rgd.yaml is the definition; its first line says what it shows,
//   - instance.yaml is an instance of it,
//   - before.yaml, where there is one, are objects that have to be there before,
//   - crds.yaml, where there is one, are kinds of somebody else's that it uses.
//
// cluster-with-network uses the kinds that network and cluster make.
package graph

import "embed"

// Files holds the folders. Read only.
//
//go:embed */*.yaml
var Files embed.FS
