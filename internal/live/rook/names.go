package rook

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxObjectName is what the name of a LiveConfig can have.
const maxObjectName = 200

// digestLength is how many hexadecimal digits stand for what is cut off a name.
const digestLength = 10

// StoreName is the name of the LiveStore of a CephCluster, and of its LiveConfig.
func StoreName(cluster string) string { return fit("rook-"+cluster, cluster) }

// ConfigName is the name of the LiveConfig of an object of Rook.
func ConfigName(cluster string, source Reference) string {
	if source.Kind == KindCluster {
		return StoreName(cluster)
	}

	return fit("rook-"+cluster+"-rgw-"+source.Name, cluster, source.Name)
}

// fit shortens a name that is too long. The digest is of the parts, so that no two names become one.
func fit(name string, parts ...string) string {
	if len(name) <= maxObjectName {
		return name
	}

	// No name in the cluster has a slash.
	sum := sha256.Sum256([]byte(strings.Join(parts, "/")))
	short := strings.TrimRight(name[:maxObjectName-digestLength-1], "-.")

	return short + "-" + hex.EncodeToString(sum[:])[:digestLength]
}
