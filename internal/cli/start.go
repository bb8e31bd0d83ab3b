package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
)

// Runner runs a manager until the context ends.
type Runner func(ctx context.Context, cluster *rest.Config, c *configv1alpha1.LockstepConfiguration, log logr.Logger) error

// environment looks a variable up: os.Getenv, except in tests.
type environment func(name string) string

// cluster is the way to the API server, and the namespace that the way names.
type cluster struct {
	config    *rest.Config
	namespace string
}

// serviceAccountNamespace is where a pod finds its namespace.
const serviceAccountNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// connect finds the cluster without talking to it: the given kubeconfig, else $KUBECONFIG, else ~/.kube/config if the
// file exists, else the cluster that this process runs in.
func connect(kubeconfig string, env environment) (cluster, error) {
	if kubeconfig == "" {
		kubeconfig = env("KUBECONFIG")
	}

	if home := env("HOME"); kubeconfig == "" && home != "" {
		file := filepath.Join(home, ".kube", "config")
		if _, err := os.Stat(file); err == nil {
			kubeconfig = file
		}
	}

	if kubeconfig == "" {
		return inside()
	}

	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	if files := filepath.SplitList(kubeconfig); len(files) > 1 {
		rules = &clientcmd.ClientConfigLoadingRules{Precedence: files}
	}

	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil)

	config, err := loader.ClientConfig()
	if err != nil {
		return cluster{}, fmt.Errorf("read the kubeconfig %s: %w", kubeconfig, err)
	}

	namespace, _, err := loader.Namespace()
	if err != nil {
		return cluster{}, fmt.Errorf("read the namespace of the kubeconfig %s: %w", kubeconfig, err)
	}

	return cluster{config: unthrottled(config), namespace: namespace}, nil
}

func inside() (cluster, error) {
	config, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return cluster{}, errors.New("no cluster: neither $KUBECONFIG nor ~/.kube/config leads to one, " +
			"and this process does not run in a pod")
	}

	if err != nil {
		return cluster{}, fmt.Errorf("read the pod's service account: %w", err)
	}

	namespace, err := os.ReadFile(serviceAccountNamespace)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cluster{}, fmt.Errorf("read the pod's namespace: %w", err)
	}

	return cluster{config: unthrottled(config), namespace: strings.TrimSpace(string(namespace))}, nil
}

// unthrottled leaves it to the API server to slow its clients down.
func unthrottled(c *rest.Config) *rest.Config {
	c.QPS, c.Burst = -1, -1

	return c
}

// rejected is everything that is wrong with a configuration in one error. What came from a flag is called by the
// flag's name: flags are by the path of their field.
func rejected(problems []*configuration.FieldError, flags map[string]string) error {
	errs := make([]error, len(problems))

	for i, p := range problems {
		field, _, _ := strings.Cut(p.Path, "[")
		if flag, ok := flags[field]; ok {
			p.Path = "--" + flag
		}

		errs[i] = p
	}

	return errors.Join(errs...)
}

// newLogger writes lines of the configured format and level.
func newLogger(w io.Writer, c configv1alpha1.Log) logr.Logger {
	encoder := zap.ConsoleEncoder
	if c.Format == configv1alpha1.LogJSON {
		encoder = zap.JSONEncoder
	}

	return zap.New(
		zap.WriteTo(w),
		encoder(func(e *zapcore.EncoderConfig) { e.EncodeTime = zapcore.ISO8601TimeEncoder }),
		zap.Level(zapLevel(c.Level)),
		// An error says where it happened; the stack of the line that logs it says nothing more.
		zap.StacktraceLevel(zapcore.PanicLevel),
	)
}

func zapLevel(l configv1alpha1.LogLevel) zapcore.Level {
	switch l {
	case configv1alpha1.LogTrace:
		return -6 // V(6) of the Kubernetes libraries: every request
	case configv1alpha1.LogDebug:
		return zapcore.DebugLevel
	case configv1alpha1.LogWarn:
		return zapcore.WarnLevel
	case configv1alpha1.LogError:
		return zapcore.ErrorLevel
	case configv1alpha1.LogInfo:
	}

	return zapcore.InfoLevel
}
