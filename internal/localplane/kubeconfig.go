package localplane

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// contextName is the name of the cluster, the user and the context in every kubeconfig of a plane.
const contextName = "lockstep-local"

// writeKubeconfig writes a kubeconfig that only its owner may read.
func writeKubeconfig(path, server string, ca []byte, user pair) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[contextName] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[contextName] = &clientcmdapi.AuthInfo{ClientCertificateData: user.cert, ClientKeyData: user.key}
	config.Contexts[contextName] = &clientcmdapi.Context{Cluster: contextName, AuthInfo: contextName}
	config.CurrentContext = contextName
	content, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode the kubeconfig %s: %w", path, err)
	}

	return writePrivate(path, content)
}

func restConfig(server string, ca []byte, user pair) *rest.Config {
	return &rest.Config{
		Host:            server,
		TLSClientConfig: rest.TLSClientConfig{CAData: ca, CertData: user.cert, KeyData: user.key},
		// How much is too much is for the server to say.
		QPS: -1,
	}
}

// unversioned returns a copy that a client without a group and version accepts.
func unversioned(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.GroupVersion = nil
	config.ContentType = runtime.ContentTypeJSON

	return config
}
