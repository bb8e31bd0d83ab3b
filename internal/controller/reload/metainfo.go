package reload

import (
	"encoding/json"
	"net/url"
	"runtime/debug"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/reload"
)

// MetaInfoName is the name of the ConfigMap by which other tools learn what runs here.
const MetaInfoName = "reloader-meta-info"

const (
	metaInfoLabel      = "reloader.stakater.com/meta-info"
	metaInfoLabelValue = "reloader"
	metaInfoEdition    = "lockstep"
)

// MetaInfo is the ConfigMap that tells what runs here: the build and a complete configuration. It holds no token: of
// the webhook's URL only scheme and host. The build may be nil.
func MetaInfo(c *configv1alpha1.LockstepConfiguration, build *debug.BuildInfo) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{
			Name:      MetaInfoName,
			Namespace: c.Reload.MetaInfo.Namespace,
			Labels:    map[string]string{metaInfoLabel: metaInfoLabelValue},
		},
		Data: map[string]string{
			"buildInfo":       inJSON(metaBuildOf(build)),
			"reloaderOptions": inJSON(metaOptionsOf(c)),
			"deploymentInfo": inJSON(metaDeployment{
				Name: c.Reload.MetaInfo.DeploymentName, Namespace: c.Reload.MetaInfo.Namespace,
			}),
		},
	}
}

type metaBuild struct {
	GoVersion      string    `json:"goVersion"`
	ReleaseVersion string    `json:"releaseVersion"`
	CommitHash     string    `json:"commitHash"`
	CommitTime     time.Time `json:"commitTime"` // the zero time when unknown: readers parse it
	Edition        string    `json:"edition"`
}

type metaDeployment struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// metaOptions have the names by which readers know them; they differ from those of the configuration.
type metaOptions struct {
	AutoReloadAll                                bool     `json:"autoReloadAll"`
	ConfigmapUpdateOnChangeAnnotation            string   `json:"configmapUpdateOnChangeAnnotation"`
	SecretUpdateOnChangeAnnotation               string   `json:"secretUpdateOnChangeAnnotation"`
	SecretProviderClassUpdateOnChangeAnnotation  string   `json:"secretProviderClassUpdateOnChangeAnnotation"`
	ReloaderAutoAnnotation                       string   `json:"reloaderAutoAnnotation"`
	IgnoreResourceAnnotation                     string   `json:"ignoreResourceAnnotation"`
	ConfigmapReloaderAutoAnnotation              string   `json:"configmapReloaderAutoAnnotation"`
	SecretReloaderAutoAnnotation                 string   `json:"secretReloaderAutoAnnotation"`
	SecretProviderClassReloaderAutoAnnotation    string   `json:"secretProviderClassReloaderAutoAnnotation"`
	ConfigmapExcludeReloaderAnnotation           string   `json:"configmapExcludeReloaderAnnotation"`
	SecretExcludeReloaderAnnotation              string   `json:"secretExcludeReloaderAnnotation"`
	SecretProviderClassExcludeReloaderAnnotation string   `json:"secretProviderClassExcludeReloaderAnnotation"`
	AutoSearchAnnotation                         string   `json:"autoSearchAnnotation"`
	SearchMatchAnnotation                        string   `json:"searchMatchAnnotation"`
	RolloutStrategyAnnotation                    string   `json:"rolloutStrategyAnnotation"`
	PauseDeploymentAnnotation                    string   `json:"pauseDeploymentAnnotation"`
	PauseDeploymentTimeAnnotation                string   `json:"pauseDeploymentTimeAnnotation"`
	LogFormat                                    string   `json:"logFormat"`
	LogLevel                                     string   `json:"logLevel"`
	IsArgoRollouts                               bool     `json:"isArgoRollouts"`
	ReloadStrategy                               string   `json:"reloadStrategy"`
	ReloadOnCreate                               bool     `json:"reloadOnCreate"`
	ReloadOnDelete                               bool     `json:"reloadOnDelete"`
	SyncAfterRestart                             bool     `json:"syncAfterRestart"`
	EnableHA                                     bool     `json:"enableHA"`
	EnableCSIIntegration                         bool     `json:"enableCSIIntegration"`
	WebhookURL                                   string   `json:"webhookUrl"`
	ResourcesToIgnore                            []string `json:"resourcesToIgnore"`
	WorkloadTypesToIgnore                        []string `json:"workloadTypesToIgnore"`
	NamespaceSelectors                           []string `json:"namespaceSelectors"`
	ResourceSelectors                            []string `json:"resourceSelectors"`
	NamespacesToIgnore                           []string `json:"namespacesToIgnore"`
	EnablePProf                                  bool     `json:"enablePProf"`
	PProfAddr                                    string   `json:"pprofAddr"`
}

func metaOptionsOf(c *configv1alpha1.LockstepConfiguration) metaOptions {
	r, a, fixed := &c.Reload, &c.Reload.Annotations, reload.DefaultKeys()

	return metaOptions{
		AutoReloadAll:                                r.AutoReloadAll,
		ConfigmapUpdateOnChangeAnnotation:            a.ConfigMap,
		SecretUpdateOnChangeAnnotation:               a.Secret,
		SecretProviderClassUpdateOnChangeAnnotation:  fixed.ClassReload,
		ReloaderAutoAnnotation:                       a.Auto,
		IgnoreResourceAnnotation:                     a.Ignore,
		ConfigmapReloaderAutoAnnotation:              a.ConfigMapAuto,
		SecretReloaderAutoAnnotation:                 a.SecretAuto,
		SecretProviderClassReloaderAutoAnnotation:    fixed.ClassAuto,
		ConfigmapExcludeReloaderAnnotation:           fixed.ConfigMapExclude,
		SecretExcludeReloaderAnnotation:              fixed.SecretExclude,
		SecretProviderClassExcludeReloaderAnnotation: fixed.ClassExclude,
		AutoSearchAnnotation:                         a.AutoSearch,
		SearchMatchAnnotation:                        a.SearchMatch,
		RolloutStrategyAnnotation:                    fixed.RolloutStrategy,
		PauseDeploymentAnnotation:                    a.PauseDeployment,
		PauseDeploymentTimeAnnotation:                a.PauseDeploymentTime,
		LogFormat:                                    string(c.Log.Format),
		LogLevel:                                     string(c.Log.Level),
		IsArgoRollouts:                               r.ArgoRollouts != configv1alpha1.SwitchOff,
		ReloadStrategy:                               string(r.Strategy),
		ReloadOnCreate:                               r.ReloadOnCreate,
		ReloadOnDelete:                               r.ReloadOnDelete,
		SyncAfterRestart:                             r.SyncAfterRestart,
		EnableHA:                                     c.LeaderElection.Enabled,
		EnableCSIIntegration:                         r.CSI != configv1alpha1.SwitchOff,
		WebhookURL:                                   withoutToken(r.Webhook.URL),
		ResourcesToIgnore:                            r.ResourcesToIgnore,
		WorkloadTypesToIgnore:                        r.IgnoredWorkloadTypes,
		NamespaceSelectors:                           r.NamespaceSelector,
		ResourceSelectors:                            r.ResourceLabelSelector,
		NamespacesToIgnore:                           r.NamespacesToIgnore,
		EnablePProf:                                  c.Pprof.Enabled,
		PProfAddr:                                    c.Pprof.BindAddress,
	}
}

func metaBuildOf(build *debug.BuildInfo) metaBuild {
	b := metaBuild{ReleaseVersion: "unknown", CommitHash: "unknown", Edition: metaInfoEdition}
	if build == nil {
		return b
	}

	b.GoVersion, b.ReleaseVersion = build.GoVersion, build.Main.Version

	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			b.CommitHash = s.Value
		case "vcs.time":
			// A time that cannot be read stays the zero time.
			b.CommitTime, _ = time.Parse(time.RFC3339, s.Value)
		}
	}

	return b
}

// withoutToken keeps of a URL what cannot hold a token: path, query and user often do.
func withoutToken(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}

	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

func inJSON[T metaBuild | metaOptions | metaDeployment](v T) string {
	// Structs of strings, booleans and times of four-digit years always marshal.
	text, _ := json.Marshal(v) //nolint:errchkjson // see above

	return string(text)
}
