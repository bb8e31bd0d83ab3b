package localplane

import (
	"fmt"
	"slices"
)

// Where things are, below a plane's directory. The components run in it and are given these relative names: the
// path of a socket may not be longer than about a hundred bytes, while that of a directory may.
const (
	stateFile      = "state.json"
	lockName       = "lock"
	kubeconfigFile = "kubeconfig"
	logsDir        = "logs"
	pkiDir         = "pki"
	stagesFile     = "stages.yaml"

	caFile         = pkiDir + "/ca.crt"
	serverCertFile = pkiDir + "/server.crt"
	serverKeyFile  = pkiDir + "/server.key"

	// A throw-away plane and a kept one never share data: starting one does not destroy the other's.
	scratchDir = "scratch"
	keptDir    = "kept"
	saKeyFile  = "service-account.key"

	// The number is only there because etcd insists on a port; it is part of the file's name.
	etcdSocket = "etcd.sock:0"
	peerSocket = "peer.sock:0"
)

// etcdArgs has etcd serve on sockets in the plane's directory, which only its owner may enter: no port to find, no
// certificate to make, and nobody else on the machine can read what the API server would refuse to show.
func etcdArgs(dataDir string, keep bool) []string {
	args := []string{
		"--name=local",
		"--data-dir=" + dataDir + "/etcd",
		"--listen-client-urls=unix://" + etcdSocket,
		"--advertise-client-urls=unix://" + etcdSocket,
		"--listen-peer-urls=unix://" + peerSocket,
		"--initial-advertise-peer-urls=unix://" + peerSocket,
		"--initial-cluster=local=unix://" + peerSocket,
		"--log-level=warn",
	}
	if !keep {
		args = append(args, "--unsafe-no-fsync")
	}

	return args
}

func apiServerArgs(dataDir string, port int, extra []string) []string {
	return slices.Concat([]string{
		"--etcd-servers=unix://" + etcdSocket,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--permit-port-sharing", // the port is reserved by a socket of ours that shares it
		"--tls-cert-file=" + serverCertFile,
		"--tls-private-key-file=" + serverKeyFile,
		"--client-ca-file=" + caFile,
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + dataDir + "/" + saKeyFile,
		"--service-account-signing-key-file=" + dataDir + "/" + saKeyFile,
		"--service-cluster-ip-range=10.0.0.0/16",
		"--allow-privileged",
		"--max-requests-inflight=3000",
		"--max-mutating-requests-inflight=1500",
		// A lone server on loopback has no peers and no endpoint that a pod could reach: without these it would
		// renew Leases and endpoints for ever, and a plane at rest would not be quiet.
		"--endpoint-reconciler-type=none",
		"--feature-gates=APIServerIdentity=false,UnknownVersionInteroperabilityProxy=false",
	}, extra)
}

func controllerManagerArgs(dataDir string) []string {
	return []string{
		"--kubeconfig=" + pkiDir + "/" + controllerManager + ".kubeconfig",
		"--service-account-private-key-file=" + dataDir + "/" + saKeyFile,
		"--root-ca-file=" + caFile,
		// Each controller acts with its own rights only, as in a real cluster.
		"--use-service-account-credentials",
		"--leader-elect=false",
		"--secure-port=0",
		// Fake nodes say so once that they are alive, and then are quiet.
		"--node-monitor-grace-period=8760h",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		"--concurrent-deployment-syncs=10",
		"--concurrent-replicaset-syncs=10",
		"--concurrent-statefulset-syncs=10",
		"--concurrent-job-syncs=10",
	}
}

func schedulerArgs() []string {
	return []string{
		"--kubeconfig=" + pkiDir + "/" + scheduler + ".kubeconfig",
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	}
}

func kwokArgs() []string {
	return []string{
		"--kubeconfig=" + pkiDir + "/" + kwok + ".kubeconfig",
		"--config=" + stagesFile,
		"--manage-nodes-with-annotation-selector=" + fakeNodeAnnotation + "=fake",
		"--cidr=10.128.0.0/10",
		"--enable-crds=",
		"--node-lease-duration-seconds=0",
	}
}
