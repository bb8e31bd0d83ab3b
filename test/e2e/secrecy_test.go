package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

func TestTheContentOfASecretIsNowhereToBeRead(t *testing.T) {
	t.Parallel()

	const before, after = "c4n4ry-before", "c4n4ry-after"

	for _, strategy := range strategies() {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()

			w, r := newWorld(t), newReceiver(t)
			close(r.answer)
			app := w.statefulSet("app", auto())
			app.Annotations["lockstep.dev/keys"] = "secret/app=key"
			w.create(w.secret("app", before), app, w.deployment("app", auto()), w.job("app", auto()), w.cronJob("app", auto()))

			// Errors are where contents leak.
			w.proxy.Add(faults.Rule{Match: on("patch", "statefulsets"), Status: http.StatusUnprocessableEntity, Times: 1})
			w.proxy.Add(faults.Rule{Match: on("patch", "deployments"), Status: http.StatusInternalServerError, Times: 1})

			p := w.reloadWith([]string{
				"RELOADER_NAMESPACE=" + w.home, "METRICS_COUNT_BY_NAMESPACE=enabled",
				"ALERT_ON_RELOAD=true", "ALERT_WEBHOOK_URL=" + r.url,
			}, "--log-level=trace", "--reload-strategy="+strategy, "--metrics-bind-address="+port(t))
			p.listed()
			w.recorded()
			w.set(w.secret("app", after))
			carries(w, w.deployment("app", nil), w.secret("app", ""), after)
			w.proxy.Cut()

			seen := []string{r.next(t)}
			_, metrics := p.get("/metrics")
			seen = append(seen, metrics)

			p.logged("carried a change", "Deployment")
			p.terminate()

			seen = append(seen, p.out.String())
			for _, list := range []client.ObjectList{
				&corev1.EventList{}, &corev1.ConfigMapList{}, &appsv1.StatefulSetList{}, &appsv1.DeploymentList{}, &batchv1.JobList{},
			} {
				seen = append(seen, inJSON(w, all(w, w.namespace, list)))
			}

			seen = append(seen, inJSON(w, all(w, w.home, &corev1.ConfigMapList{})))

			for _, value := range []string{before, after} {
				for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
					for _, text := range seen {
						if i := strings.Index(text, form); i >= 0 {
							t.Errorf("%s is told: %s", form, text[max(0, i-100):i+len(form)])
						}
					}
				}
			}
		})
	}
}

func inJSON(w *world, list client.ObjectList) string {
	w.Helper()

	text, err := json.Marshal(list)
	w.must(err)

	return string(text)
}
