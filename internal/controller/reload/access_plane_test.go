package reload_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controller "github.com/lockstep-dev/lockstep/internal/controller/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

func rule(group, resources, verbs string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
}

// stock are the rules of §20.
func stock() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule("", "secrets configmaps", "list get watch"),
		rule("apps", "deployments daemonsets statefulsets", "list get update patch"),
		rule("batch", "cronjobs", "list get"),
		rule("batch", "jobs", "create delete list get"),
		rule("", "events", "create patch"),
	}
}

// as makes the controller act as a service account that has the rules in the world's namespace, and those on
// ConfigMaps that an installation has in its own.
func (w *world) as(rules []rbacv1.PolicyRule) func(*parts) {
	w.Helper()

	grant := func(namespace string, rules ...rbacv1.PolicyRule) {
		meta := metav1.ObjectMeta{Namespace: namespace, Name: "reloader"}
		w.create(
			&rbacv1.Role{ObjectMeta: meta, Rules: rules},
			&rbacv1.RoleBinding{
				ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
				Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.home, Name: "reloader"}},
			},
		)
	}
	grant(w.namespace, rules...)
	grant(w.home, rule("", "configmaps", "list get watch create update"))

	return w.account()
}

// account makes the controller act as the service account, with whatever it may do.
func (w *world) account() func(*parts) {
	return func(p *parts) {
		p.user = "system:serviceaccount:" + w.home + ":reloader"
	}
}

func TestTheStockRoleIsEnough(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§20 "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			kinds := []workload.Kind{workload.Deployment, workload.StatefulSet, workload.DaemonSet}
			job := w.workload(workload.Job, "job", auto(), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), w.secret("app", former()), job)
			for _, kind := range kinds {
				w.create(w.workload(kind, "app", auto(), podTemplate(reads("app"))))
			}

			r := w.start(func(p *parts) { p.Strategy = strategy }, w.as(stock()))
			// Workloads that came after the start are found as well.
			w.create(w.workload(workload.CronJob, "cron", auto(), podTemplate(reads("app"))))
			w.create(w.deployment("late", auto(), podTemplate(reads("app"))))

			w.setData(w.secret("app", keyValue()))
			for _, kind := range kinds {
				w.carries(w.workload(kind, "app", nil, podTemplate()), w.secret("app", keyValue()))
			}
			w.carries(w.deployment("late", nil, podTemplate()), w.secret("app", keyValue()))
			first(w, w.namespace, &batchv1.JobList{}, "Job of the CronJob", func(j *batchv1.Job) bool { return j.Labels["made-by"] == "cron" })
			expect.Object(t, w.client, job, "to be another one", func(o client.Object) bool { return o.GetUID() != job.GetUID() })

			w.quiet()
			r.stop()

			// What changes while it is stopped is carried, too, and nothing else.
			w.setData(w.secret("app", ab()))
			r = w.start(func(p *parts) { p.Strategy = strategy }, w.account())
			for _, kind := range kinds {
				w.carries(w.workload(kind, "app", nil, podTemplate()), w.secret("app", ab()))
			}
			w.quiet()
			r.stop()
			r = w.start(func(p *parts) { p.Strategy = strategy }, w.account())
			if got := r.writes(); len(got) != 0 {
				t.Errorf("[B] a start without a change wrote %v", got)
			}
		})
	}
}

func TestAMissingRuleIsNamed(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		without string
		want    []string
	}{
		"§20 no list of workloads": {without: "deployments daemonsets statefulsets", want: []string{`"apps"`, `"deployments"`, "list"}},
		"§20 no watch of sources":  {without: "secrets configmaps", want: []string{`""`, `"configmaps"`, `"secrets"`, "watch"}},
		"§20 no list of cron jobs": {without: "cronjobs", want: []string{`"batch"`, `"cronjobs"`, "list"}},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			r := w.launch(w.as(slices.DeleteFunc(stock(), func(r rbacv1.PolicyRule) bool {
				return strings.Join(r.Resources, " ") == c.without
			})))
			<-r.done

			if !errors.Is(r.err, controller.ErrMissingRule) {
				t.Fatalf("error %v, want %v", r.err, controller.ErrMissingRule)
			}

			for _, part := range append(c.want, w.namespace) {
				if !strings.Contains(r.err.Error(), part) {
					t.Errorf("%q does not name %s", r.err, part)
				}
			}
		})
	}
}

func TestDeploymentConfigsThatMayNotBeReadAreLeftOut(t *testing.T) {
	t.Parallel()
	installKinds(t)

	w := newWorld(t)
	d := w.deployment("app", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), d)
	r := w.start(w.as(stock()), func(p *parts) {
		p.Scope.DeploymentConfigs = true
		p.Scope.Optional = []workload.Kind{workload.DeploymentConfig}
	})

	line := r.log.wait(t, "deploymentconfigs", r.done)
	if !strings.Contains(line, "apps.openshift.io") || !strings.Contains(line, "list") {
		t.Errorf("§20 the rule is not named: %s", line)
	}

	w.setData(w.configMap("app", keyValue()))
	w.carries(d, w.configMap("app", keyValue()))
}

func TestWithoutTheRightToRecordTheMarkersHaveToDo(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), s)

	role := w.as(stock())
	w.must(w.client.Delete(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.home, Name: "reloader"}}))

	r := w.start(role)
	w.setData(w.configMap("app", keyValue()))
	w.carries(s, w.configMap("app", keyValue()))
	r.log.wait(t, "the baseline cannot be read", r.done)
	r.stop()
	w.setData(w.configMap("app", ab()))
	w.start(role)
	w.carries(s, w.configMap("app", ab()))
}
