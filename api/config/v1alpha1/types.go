package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// What a configuration file says about itself.
const (
	// APIVersion of a configuration file.
	APIVersion = "config.lockstep.dev/v1alpha1"
	// Kind of a configuration file.
	Kind = "LockstepConfiguration"
)

// DialectReload serves the annotations by which workloads ask to be rolled when a ConfigMap or a Secret changes.
const DialectReload = "reload"

// DialectGraph serves ResourceGraphDefinitions and the kinds that they make.
const DialectGraph = "graph"

// DialectLive serves LiveStores and LiveConfigs: settings of running stores.
const DialectLive = "live"

// LockstepConfiguration configures one manager.
type LockstepConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	// Dialects are the APIs that the manager serves. "reload", "graph" and "live" exist. Default: all that exist.
	Dialects []string `json:"dialects,omitempty"`
	// Namespace is where the manager keeps its Lease and its records. Default: the namespace that the manager runs
	// in or, outside a cluster, that of the kubeconfig's context.
	Namespace string `json:"namespace,omitempty"`
	// Metrics configures the server of /metrics and /live.
	Metrics Metrics `json:"metrics,omitzero"`
	// Health configures the server of /healthz and /readyz.
	Health Health `json:"health,omitzero"`
	// Pprof configures the server of /debug/pprof.
	Pprof Pprof `json:"pprof,omitzero"`
	// LeaderElection lets several replicas run of which one works.
	LeaderElection LeaderElection `json:"leaderElection,omitzero"`
	// Log configures what the manager writes to its standard error.
	Log Log `json:"log,omitzero"`
	// Reload configures the dialect "reload".
	Reload ReloadConfiguration `json:"reload,omitzero"`
	// Graph configures the dialect "graph".
	Graph GraphConfiguration `json:"graph,omitzero"`
	// Live configures the dialect "live".
	Live LiveConfiguration `json:"live,omitzero"`
}

// Metrics configures the server of /metrics and /live.
type Metrics struct {
	// BindAddress is the host and port to listen on; "0" is nowhere. Default ":9090".
	BindAddress string `json:"bindAddress,omitempty"`
	// CountByNamespace adds the counter of reloads by namespace: one series for each namespace and result.
	CountByNamespace bool `json:"countByNamespace,omitempty"`
}

// Pprof configures the server of /debug/pprof. It has no authentication, hence a server of its own, off by default.
type Pprof struct {
	// Enabled starts the server.
	Enabled bool `json:"enabled,omitempty"`
	// BindAddress is the host and port to listen on. Default "127.0.0.1:6060".
	BindAddress string `json:"bindAddress,omitempty"`
}

// LeaderElection lets several replicas run of which one works.
type LeaderElection struct {
	// Enabled makes the manager wait for the Lease before it works.
	Enabled bool `json:"enabled,omitempty"`
	// LeaseName is the name of the Lease. Default "lockstep".
	LeaseName string `json:"leaseName,omitempty"`
	// Identity is the name of this replica in the Lease. Default: host name and a random suffix.
	Identity string `json:"identity,omitempty"`
	// LeaseDuration is how long the others wait for a leader that is silent. Default 15s.
	LeaseDuration metav1.Duration `json:"leaseDuration,omitzero"`
	// RenewDeadline is how long the leader tries to renew before it gives up; less than leaseDuration. Default 10s.
	RenewDeadline metav1.Duration `json:"renewDeadline,omitzero"`
	// RetryPeriod is the time between two tries; less than renewDeadline. Default 2s.
	RetryPeriod metav1.Duration `json:"retryPeriod,omitzero"`
}

// LogFormat is how log lines are written.
type LogFormat string

// The log formats.
const (
	// LogConsole is for eyes.
	LogConsole LogFormat = "console"
	// LogJSON is for machines: one object a line.
	LogJSON LogFormat = "json"
)

// LogLevel is the least severity that is written.
type LogLevel string

// The log levels, from the most to the least talkative.
const (
	// LogTrace adds what the libraries have to say.
	LogTrace LogLevel = "trace"
	// LogDebug adds why nothing was done.
	LogDebug LogLevel = "debug"
	// LogInfo tells what was done.
	LogInfo LogLevel = "info"
	// LogWarn is the same as LogError: nothing is written between info and error.
	LogWarn LogLevel = "warn"
	// LogError tells what failed.
	LogError LogLevel = "error"
)

// Log configures what the manager writes to its standard error.
type Log struct {
	// Format is "console" or "json". Default "console".
	Format LogFormat `json:"format,omitempty"`
	// Level is "trace", "debug", "info", "warn" or "error". Default "info".
	Level LogLevel `json:"level,omitempty"`
}
