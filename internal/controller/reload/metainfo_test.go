package reload_test

import (
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
	controller "github.com/lockstep-dev/lockstep/internal/controller/reload"
)

func TestMetaInfo_Section16TheWholeConfigMap(t *testing.T) {
	t.Parallel()

	c := &configv1alpha1.LockstepConfiguration{
		Reload: configv1alpha1.ReloadConfiguration{
			ReloadOnCreate:     true,
			ArgoRollouts:       configv1alpha1.SwitchOff,
			CSI:                configv1alpha1.SwitchOn,
			NamespacesToIgnore: []string{"kube-system"},
			MetaInfo:           configv1alpha1.MetaInfo{Enabled: true, Namespace: "ops", DeploymentName: "reloader"},
		},
	}
	configuration.Default(c)

	got := controller.MetaInfo(c, &debug.BuildInfo{
		GoVersion: "go1.26.0",
		Main:      debug.Module{Version: "v0.2.0"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123abc"},
			{Key: "vcs.time", Value: "2026-11-01T10:00:00Z"},
		},
	})

	want := &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "reloader-meta-info", Namespace: "ops",
			Labels: map[string]string{"reloader.stakater.com/meta-info": "reloader"},
		},
		Data: map[string]string{
			"buildInfo": `{"goVersion":"go1.26.0","releaseVersion":"v0.2.0","commitHash":"0123abc",` +
				`"commitTime":"2026-11-01T10:00:00Z","edition":"lockstep"}`,
			"deploymentInfo": `{"name":"reloader","namespace":"ops"}`,
			"reloaderOptions": `{"autoReloadAll":false,` +
				`"configmapUpdateOnChangeAnnotation":"configmap.reloader.stakater.com/reload",` +
				`"secretUpdateOnChangeAnnotation":"secret.reloader.stakater.com/reload",` +
				`"secretProviderClassUpdateOnChangeAnnotation":"secretproviderclass.reloader.stakater.com/reload",` +
				`"reloaderAutoAnnotation":"reloader.stakater.com/auto",` +
				`"ignoreResourceAnnotation":"reloader.stakater.com/ignore",` +
				`"configmapReloaderAutoAnnotation":"configmap.reloader.stakater.com/auto",` +
				`"secretReloaderAutoAnnotation":"secret.reloader.stakater.com/auto",` +
				`"secretProviderClassReloaderAutoAnnotation":"secretproviderclass.reloader.stakater.com/auto",` +
				`"configmapExcludeReloaderAnnotation":"configmaps.exclude.reloader.stakater.com/reload",` +
				`"secretExcludeReloaderAnnotation":"secrets.exclude.reloader.stakater.com/reload",` +
				`"secretProviderClassExcludeReloaderAnnotation":` +
				`"secretproviderclasses.exclude.reloader.stakater.com/reload",` +
				`"autoSearchAnnotation":"reloader.stakater.com/search",` +
				`"searchMatchAnnotation":"reloader.stakater.com/match",` +
				`"rolloutStrategyAnnotation":"reloader.stakater.com/rollout-strategy",` +
				`"pauseDeploymentAnnotation":"deployment.reloader.stakater.com/pause-period",` +
				`"pauseDeploymentTimeAnnotation":"deployment.reloader.stakater.com/paused-at",` +
				`"logFormat":"console","logLevel":"info","isArgoRollouts":false,"reloadStrategy":"env-vars",` +
				`"reloadOnCreate":true,"reloadOnDelete":false,"syncAfterRestart":false,"enableHA":false,` +
				`"enableCSIIntegration":true,"webhookUrl":"","resourcesToIgnore":null,"workloadTypesToIgnore":null,` +
				`"namespaceSelectors":null,"resourceSelectors":null,"namespacesToIgnore":["kube-system"],` +
				`"enablePProf":false,"pprofAddr":"127.0.0.1:6060"}`,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ConfigMap (-want +got):\n%s", diff)
	}
}

func TestMetaInfo_TellsNoTokenOfTheWebhook(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct{ url, want string }{
		"user, path and query are left out": {
			"https://me:t0ken@hooks.example:8443/t0ken/x?key=t0ken", "https://hooks.example:8443",
		},
		"what is no URL is left out": {"t0ken", ""},
		"none stays none":            {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := &configv1alpha1.LockstepConfiguration{}
			c.Reload.Webhook.URL = tc.url

			text := controller.MetaInfo(c, nil).Data["reloaderOptions"]
			if strings.Contains(text, "t0ken") {
				t.Errorf("the options hold the token: %s", text)
			}

			var got struct {
				WebhookURL string `json:"webhookUrl"`
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}

			if got.WebhookURL != tc.want {
				t.Errorf("got %q, want %q", got.WebhookURL, tc.want)
			}
		})
	}
}

func TestMetaInfo_ABuildThatIsNotKnownHasATimeThatReadersParse(t *testing.T) {
	t.Parallel()

	got := controller.MetaInfo(&configv1alpha1.LockstepConfiguration{}, nil).Data["buildInfo"]

	const want = `{"goVersion":"","releaseVersion":"unknown","commitHash":"unknown",` +
		`"commitTime":"0001-01-01T00:00:00Z","edition":"lockstep"}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("build (-want +got):\n%s", diff)
	}
}
