package v1alpha1

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Strategy is how a restart is written into a pod template.
type Strategy string

// The strategies.
const (
	// StrategyEnvVars sets a variable of one container to the source's hash.
	StrategyEnvVars Strategy = "env-vars"
	// StrategyAnnotations sets one annotation that tells the last source that changed.
	StrategyAnnotations Strategy = "annotations"
)

// Switch turns a part on or off, or leaves it to what the cluster serves.
type Switch string

// The positions of a switch.
const (
	// SwitchAuto is on where the cluster serves the API and the manager may read it.
	SwitchAuto Switch = "auto"
	// SwitchOn is on; a missing API or right is reported.
	SwitchOn Switch = "on"
	// SwitchOff is off.
	SwitchOff Switch = "off"
)

// UnmarshalJSON also takes true and false, which is what a YAML reader makes of a bare on and off.
func (s *Switch) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "true":
		*s = SwitchOn
	case "false":
		*s = SwitchOff
	default:
		if err := json.Unmarshal(text, (*string)(s)); err != nil {
			return fmt.Errorf("auto, on or off: %w", err)
		}
	}

	return nil
}

// The resources that resourcesToIgnore accepts.
const (
	// ResourceConfigMaps are the ConfigMaps.
	ResourceConfigMaps = "configmaps"
	// ResourceSecrets are the Secrets.
	ResourceSecrets = "secrets"
)

// The types that ignoredWorkloadTypes accepts.
const (
	// WorkloadJobs are the Jobs.
	WorkloadJobs = "jobs"
	// WorkloadCronJobs are the CronJobs.
	WorkloadCronJobs = "cronjobs"
)

// ReloadConfiguration configures the dialect "reload".
type ReloadConfiguration struct {
	// Strategy is "env-vars" or "annotations". Default "env-vars".
	Strategy Strategy `json:"strategy,omitempty"`
	// AutoReloadAll makes workloads that say nothing about auto count as if they had asked for it.
	AutoReloadAll bool `json:"autoReloadAll,omitempty"`
	// ReloadOnCreate also acts when a source appears.
	ReloadOnCreate bool `json:"reloadOnCreate,omitempty"`
	// ReloadOnDelete also acts when a source disappears.
	ReloadOnDelete bool `json:"reloadOnDelete,omitempty"`
	// SyncAfterRestart looks, at the start, at every source as if it had just appeared. It has an effect only with
	// reloadOnCreate.
	SyncAfterRestart bool `json:"syncAfterRestart,omitempty"`
	// CarryMissed carries, at the start, what changed while no manager ran. Default true.
	CarryMissed *bool `json:"carryMissed,omitempty"`

	// Namespaces are the only ones that are served. Default: all.
	Namespaces []string `json:"namespaces,omitempty"`
	// NamespacesToIgnore are left out. It counts only where namespaces is empty.
	NamespacesToIgnore []string `json:"namespacesToIgnore,omitempty"`
	// NamespaceSelector are requirements on the labels of a namespace, all of which must hold: "env=prod",
	// "team in (a,b)", "key" and also "key:value", "key:*" and "key=*". It counts only where namespaces is empty.
	NamespaceSelector []string `json:"namespaceSelector,omitempty"`
	// ResourceLabelSelector are requirements on the labels of a ConfigMap or Secret, written like namespaceSelector.
	ResourceLabelSelector []string `json:"resourceLabelSelector,omitempty"`
	// ResourcesToIgnore is "configmaps" or "secrets", not both.
	ResourcesToIgnore []string `json:"resourcesToIgnore,omitempty"`
	// IgnoredWorkloadTypes are "jobs" and "cronjobs".
	IgnoredWorkloadTypes []string `json:"ignoredWorkloadTypes,omitempty"`
	// ArgoRollouts is "auto", "on" or "off": whether Argo Rollouts are workloads. Default "auto".
	ArgoRollouts Switch `json:"argoRollouts,omitempty"`
	// CSI is "auto", "on" or "off": whether SecretProviderClasses are sources. Default "auto".
	CSI Switch `json:"csi,omitempty"`

	// MinInterval is the least time between two rollouts of one workload that does not say itself; 0 is no limit.
	// Default 1s.
	MinInterval *metav1.Duration `json:"minInterval,omitempty"`
	// RemoveStaleVariables takes marker variables away whose source the workload no longer refers to.
	RemoveStaleVariables bool `json:"removeStaleVariables,omitempty"`
	// Workers is how many workloads are written at the same time. Default 16.
	Workers int `json:"workers,omitempty"`

	// Annotations renames annotation keys.
	Annotations ReloadAnnotations `json:"annotations,omitzero"`
	// Webhook, when it has a URL, is told of every change instead of any workload being touched.
	Webhook ReloadWebhook `json:"webhook,omitzero"`
	// Alerts tells people of every reload.
	Alerts Alerts `json:"alerts,omitzero"`
	// MetaInfo publishes the manager's build and settings in the ConfigMap reloader-meta-info.
	MetaInfo MetaInfo `json:"metaInfo,omitzero"`
}

// ReloadAnnotations are the annotation keys that an installation may rename.
type ReloadAnnotations struct {
	// ConfigMap lists ConfigMaps. Default "configmap.reloader.stakater.com/reload".
	ConfigMap string `json:"configmap,omitempty"`
	// Secret lists Secrets. Default "secret.reloader.stakater.com/reload".
	Secret string `json:"secret,omitempty"`
	// Auto asks for every source that the workload reads. Default "reloader.stakater.com/auto".
	Auto string `json:"auto,omitempty"`
	// ConfigMapAuto asks for every ConfigMap that the workload reads. Default
	// "configmap.reloader.stakater.com/auto".
	ConfigMapAuto string `json:"configmapAuto,omitempty"`
	// SecretAuto asks for every Secret that the workload reads. Default "secret.reloader.stakater.com/auto".
	SecretAuto string `json:"secretAuto,omitempty"`
	// AutoSearch asks for the sources it reads that carry SearchMatch. Default "reloader.stakater.com/search".
	AutoSearch string `json:"autoSearch,omitempty"`
	// SearchMatch, on a source, lets searching workloads find it. Default "reloader.stakater.com/match".
	SearchMatch string `json:"searchMatch,omitempty"`
	// Ignore, on a source, keeps it from reloading anything. Default "reloader.stakater.com/ignore".
	Ignore string `json:"ignore,omitempty"`
	// PauseDeployment is how long a Deployment stays paused after a change. Default
	// "deployment.reloader.stakater.com/pause-period".
	PauseDeployment string `json:"pauseDeployment,omitempty"`
	// PauseDeploymentTime is written: since when it is paused. Default
	// "deployment.reloader.stakater.com/paused-at".
	PauseDeploymentTime string `json:"pauseDeploymentTime,omitempty"`
}

// ReloadWebhook is told of every change instead of any workload being touched.
type ReloadWebhook struct {
	// URL, http or https, that is posted to; empty for none. It may hold a token and is never logged.
	URL string `json:"url,omitempty"`
	// Timeout of one try. Default 10s.
	Timeout metav1.Duration `json:"timeout,omitzero"`
}

// Sink is the kind of receiver of alerts.
type Sink string

// The sinks.
const (
	// SinkSlack is an incoming webhook of Slack.
	SinkSlack Sink = "slack"
	// SinkTeams is an incoming webhook of Microsoft Teams.
	SinkTeams Sink = "teams"
	// SinkGoogleChat is an incoming webhook of Google Chat.
	SinkGoogleChat Sink = "gchat"
	// SinkRaw is anything that takes plain text.
	SinkRaw Sink = "raw"
)

// Alerts tells people of every reload.
type Alerts struct {
	// Enabled sends alerts.
	Enabled bool `json:"enabled,omitempty"`
	// URL, http or https, that is posted to. It may hold a token and is never logged.
	URL string `json:"url,omitempty"`
	// Sink is "slack", "teams", "gchat" or "raw". Default "raw".
	Sink Sink `json:"sink,omitempty"`
	// Proxy is the URL of the proxy that alerts are sent through; empty for none.
	Proxy string `json:"proxy,omitempty"`
	// AdditionalInfo is put before every text.
	AdditionalInfo string `json:"additionalInfo,omitempty"`
}

// MetaInfo publishes the manager's build and settings in the ConfigMap reloader-meta-info.
type MetaInfo struct {
	// Enabled writes the ConfigMap once at the start.
	Enabled bool `json:"enabled,omitempty"`
	// Namespace is where it is written. Default: the configuration's namespace.
	Namespace string `json:"namespace,omitempty"`
	// DeploymentName is the Deployment that the ConfigMap says the manager is.
	DeploymentName string `json:"deploymentName,omitempty"`
}
