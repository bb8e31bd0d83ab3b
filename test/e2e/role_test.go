package e2e

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

func rule(group, resources, verbs string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs),
	}
}

// stockRules are those of §20 for every namespace, homeRules those for the release's own.
func stockRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule("", "secrets configmaps", "list get watch"),
		rule("apps", "deployments daemonsets statefulsets", "list get update patch"),
		rule("batch", "cronjobs", "list get"),
		rule("batch", "jobs", "create delete list get"),
		rule("", "events", "create patch"),
	}
}

func homeRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{rule("", "configmaps", "list get watch create update")}
}

// as has the processes be a service account with these rights and no others.
func (w *world) as(everywhere []rbacv1.PolicyRule) {
	w.Helper()

	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.home, Name: "reloader"}}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: account.Namespace, Name: account.Name}}
	local, global := metav1.ObjectMeta{Namespace: w.home, Name: "reloader"}, metav1.ObjectMeta{Name: "reloader-" + w.home}

	w.create(
		account,
		&rbacv1.Role{ObjectMeta: local, Rules: homeRules()},
		&rbacv1.RoleBinding{
			ObjectMeta: local, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: local.Name},
		},
	)
	w.lasting(
		&rbacv1.ClusterRole{ObjectMeta: global, Rules: everywhere},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: global, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: global.Name},
		},
	)
	w.become(account)
}

// become has the processes be a service account, from when its rights have reached the server's authorizer.
func (w *world) become(account *corev1.ServiceAccount) {
	w.Helper()

	request := &authenticationv1.TokenRequest{}
	w.must(w.client.SubResource("token").Create(w.Context(), account, request))
	w.token = request.Status.Token

	config := w.proxy.Config()
	config.BearerToken = w.token
	c, err := client.New(config, client.Options{Scheme: w.client.Scheme()})
	w.must(err)
	eventually(w.TB, "the rights of the service account", func() bool {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: w.home, Verb: "update", Resource: "configmaps"},
		}}
		w.must(c.Create(w.Context(), review))

		return review.Status.Allowed && c.List(w.Context(), &corev1.ConfigMapList{}) == nil
	})
}

func TestSection20TheStockRoleIsEnough(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.as(stockRules())

	app := w.deployment("app", auto())
	job, cron := w.job("app", auto()), w.cronJob("app", auto())
	w.create(w.secret("app", "old"), app, w.statefulSet("app", auto()), w.daemonSet("app", auto()), job, cron)

	p := w.reloadWith(
		[]string{"RELOADER_NAMESPACE=" + w.home, "RELOADER_DEPLOYMENT_NAME=my-reloader", "METRICS_COUNT_BY_NAMESPACE=enabled"},
		"--metrics-bind-address="+port(t), "--log-format=json",
	)
	p.listed()

	for _, missing := range []string{
		`apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [watch], in namespace ` + w.namespace,
		`apiGroups: [\"apps\"], resources: [\"statefulsets\"], verbs: [watch], in namespace ` + w.namespace,
		`apiGroups: [\"apps\"], resources: [\"daemonsets\"], verbs: [watch], in namespace ` + w.namespace,
		`apiGroups: [\"batch\"], resources: [\"cronjobs\"], verbs: [watch], in namespace ` + w.namespace,
		`apiGroups: [\"batch\"], resources: [\"jobs\"], verbs: [watch], in namespace ` + w.namespace,
	} {
		p.logged("may be listed but not watched", missing)
	}

	// One failure, for the metrics that tell of failures.
	w.proxy.Add(faults.Rule{Match: on("patch", "deployments"), Status: http.StatusInternalServerError, Times: 1})
	w.set(w.secret("app", "value"))

	// §5: the golden vector of {key: value}.
	if got := marker(carries(w, app, w.secret("app", ""), "value"), w.secret("app", "")); got != "dc30e0faa89a70dec1033016a2309bbeb9efcbd0" {
		t.Errorf("the marker is %s", got)
	}

	carries(w, w.statefulSet("app", nil), w.secret("app", ""), "value")
	carries(w, w.daemonSet("app", nil), w.secret("app", ""), "value")
	expect.Object(t, w.client, w.job("app", nil), "to be made anew", func(j *batchv1.Job) bool {
		return j.UID != job.UID && marker(j, w.secret("app", "")) == hash("value")
	})
	eventually(t, "a Job of the CronJob", func() bool {
		return slices.ContainsFunc(all(w, w.namespace, &batchv1.JobList{}).Items, func(j batchv1.Job) bool {
			return metav1.IsControlledBy(&j, cron) && marker(&j, w.secret("app", "")) == hash("value")
		})
	})

	t.Run("§16 events are written", func(t *testing.T) { w.told(t, app) })
	t.Run("§16 the ConfigMap tells what runs", func(t *testing.T) { w.published(t) })
	t.Run("§15 the metrics have their names and labels", func(t *testing.T) {
		w.merge(w.secret("app", ""), `{"metadata":{"labels":{"edited":"yes"}}}`)
		eventually(t, "a count of the edit that changed no data", func() bool {
			_, text := p.get("/metrics")

			return strings.Contains(text, `reloader_skipped_total{reason="no_data_change"} 1`)
		})
		measured(t, p)
	})
	t.Run("§16 the port serves /live and no /debug/pprof", func(t *testing.T) {
		if status, body := p.get("/live"); status != http.StatusOK || body != "alive" {
			t.Errorf("/live answers %d %q", status, body)
		}

		if status, _ := p.get("/debug/pprof/"); status != http.StatusNotFound {
			t.Errorf("/debug/pprof/ answers %d, want 404", status)
		}
	})
	p.settle()

	if lines := p.out.lines("forbidden"); len(lines) > 0 {
		t.Errorf("something was forbidden:\n%s", strings.Join(lines, "\n"))
	}
}

func TestSection20TheStockRoleWithItsOptionsIsEnough(t *testing.T) {
	t.Parallel()
	others(t)

	w := newWorld(t)
	w.as(append(
		stockRules(),
		rule("", "namespaces", "get list watch"),
		rule("argoproj.io", "rollouts", "list get update patch"),
		rule("secrets-store.csi.x-k8s.io", "secretproviderclasses secretproviderclasspodstatuses", "list get watch"),
	))
	w.merge(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}, `{"metadata":{"labels":{"chosen":%q}}}`, w.namespace)
	w.create(
		w.secret("app", "old"), w.external("argoproj.io/v1alpha1", "Rollout", "app", auto()),
		w.class("mounted"), w.mounts("mounted", "v1"), w.mounting("mounted", auto()),
	)

	p := start(t, w.environment(), "reload", "--metrics-bind-address=0",
		"--is-Argo-Rollouts=true", "--enable-csi-integration", "--namespace-selector=chosen="+w.namespace)
	p.listed()
	w.set(w.secret("app", "new"))
	w.merge(w.mounts("mounted", ""), `{"status":{"objects":[{"id":"secret/obj1","version":"v2"}]}}`)
	w.written("argoproj.io/v1alpha1", "Rollout", "app", "STAKATER_APP_SECRET")
	w.carriesClass("mounted")
	p.settle()

	if lines := p.out.lines("forbidden"); len(lines) > 0 {
		t.Errorf("something was forbidden:\n%s", strings.Join(lines, "\n"))
	}
}

// told checks the events about the Deployment, whose first write failed.
func (w *world) told(t *testing.T, app *appsv1.Deployment) {
	t.Helper()

	in := " of type 'Deployment' in namespace '" + w.namespace + "'"
	want := []string{
		"Normal Reloaded reloader-secrets Changes detected in 'app' of type 'SECRET' in namespace '" + w.namespace + "', Updated 'app'" + in,
		"Warning ReloadFail reloader-secrets Update for 'app'" + in + " failed with error",
	}

	eventually(t, "the events "+strings.Join(want, " and "), func() bool {
		var got []string

		for _, e := range all(w, w.namespace, &corev1.EventList{}).Items {
			if e.InvolvedObject.UID == app.UID && strings.HasPrefix(e.Source.Component, "reloader-") {
				message, _, _ := strings.Cut(e.Message, " failed with error ")
				if e.Reason == "ReloadFail" {
					message += " failed with error"
				}

				got = append(got, strings.Join([]string{e.Type, e.Reason, e.Source.Component, message}, " "))
			}
		}

		slices.Sort(got)

		return slices.Equal(got, want)
	})
}

func (w *world) published(t *testing.T) {
	t.Helper()

	key := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.home, Name: "reloader-meta-info"}}
	cm := expect.Object(t, w.client, key, "to exist", func(*corev1.ConfigMap) bool { return true })

	want := []string{"buildInfo", "deploymentInfo", "reloaderOptions"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(cm.Data))); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}

	if got := cm.Labels["reloader.stakater.com/meta-info"]; got != "reloader" {
		t.Errorf("the label is %q", got)
	}

	for key, text := range map[string]string{
		"buildInfo":       `"goVersion":"go`,
		"deploymentInfo":  `"name":"my-reloader"`,
		"reloaderOptions": `"reloadStrategy":"env-vars"`,
	} {
		if !strings.Contains(cm.Data[key], text) {
			t.Errorf("%s lacks %s: %s", key, text, cm.Data[key])
		}
	}
}

// labelNames are the names of a sample's labels.
var labelNames = regexp.MustCompile(`(\w+)="`)

// measured compares the names of all metrics, with those of their labels, with §15.
func measured(t *testing.T, p *process) {
	t.Helper()

	_, text := p.get("/metrics")
	got := map[string]string{}

	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}

		name, rest, _ := strings.Cut(line, " ")
		name, labels, _ := strings.Cut(name+" "+rest, "{")
		name, _, _ = strings.Cut(name, " ")

		var names []string

		for _, m := range labelNames.FindAllStringSubmatch(labels, -1) {
			if m[1] != "le" {
				names = append(names, m[1])
			}
		}

		slices.Sort(names)
		got[name] = strings.Join(names, " ")
	}

	for name, labels := range map[string]string{
		"reloader_reload_executed_total":              "success",
		"reloader_reload_executed_total_by_namespace": "namespace success",
		"reloader_reconcile_total":                    "result",
		"reloader_reconcile_duration_seconds_bucket":  "result",
		"reloader_action_total":                       "result workload_kind",
		"reloader_action_latency_seconds_bucket":      "workload_kind",
		"reloader_skipped_total":                      "reason",
		"reloader_workqueue_depth":                    "",
		"reloader_workqueue_adds_total":               "",
		"reloader_workqueue_latency_seconds_bucket":   "",
		"reloader_errors_total":                       "type",
		"reloader_retries_total":                      "",
		"reloader_events_received_total":              "event_type resource_type",
		"reloader_events_processed_total":             "event_type resource_type result",
		"reloader_workloads_scanned_total":            "kind",
		"reloader_workloads_matched_total":            "kind",
		"rest_client_requests_total":                  "code host method",
		"rest_client_request_duration_seconds_bucket": "host verb",
		"go_goroutines":                               "",
		"process_cpu_seconds_total":                   "",
		"lockstep_reload_propagation_seconds_bucket":  "",
		"lockstep_reload_pending":                     "",
	} {
		if labelled, there := got[name]; !there || labelled != labels {
			t.Errorf("%s: there: %t, labels %q, want %q", name, there, labelled, labels)
		}
	}
}

func TestSection20AMissingRuleEndsTheProcessAndIsNamed(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		without int
		want    []string
	}{
		"§20 the sources": {0, []string{
			`apiGroups: [""], resources: ["secrets"], verbs: [list`, `apiGroups: [""], resources: ["configmaps"], verbs: [`,
		}},
		"§20 the workloads": {1, []string{`apiGroups: ["apps"], resources: ["deployments"], verbs: [list, watch]`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			// To list ConfigMaps is what tells that the rights are in force.
			rules := slices.Delete(stockRules(), c.without, c.without+1)
			w.as(append(rules, rule("", "configmaps", "list")))

			p := w.reload()
			if code := p.exit(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}

			for _, text := range c.want {
				p.logged("the manager's role lacks a rule")
				if !strings.Contains(p.out.String(), text) {
					t.Errorf("the output does not name %s", text)
				}
			}
		})
	}
}
