package graph_test

import (
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func TestInstancesActAsTheirServiceAccount(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.start()
	w.apply(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: NAMESPACE}}
---
{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: NAMESPACE}, stringData: {host: one}}`)
	w.define("App", `metadata: {annotations: {lockstep.dev/service-account: builder}}
spec: {name: string | default=app}`, `
- {id: db, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: db}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {host: "${string(db.data.host)}"}}}`)
	w.make("App", "shop", "{}")

	o := w.reaches("App", "shop", "ERROR")
	for _, text := range []string{
		`node "a": `, "system:serviceaccount:" + w.namespace + ":builder", "forbidden",
		`node "db": the ServiceAccount ` + w.namespace + "/builder may not get secrets",
	} {
		if got := condition(o, "ResourcesReady"); !strings.Contains(got, text) {
			t.Errorf("the condition %q does not say %q", got, text)
		}
	}

	w.same("what may not be made is there", false, w.there(w.config("a")))
	w.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: builder, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: builder, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: builder}
subjects: [{kind: ServiceAccount, name: builder, namespace: NAMESPACE}]`)
	w.eventually(w.config("a"), "to be made", func(*unstructured.Unstructured) bool { return true })
	w.same("what needs the Secret is there", false, w.there(w.config("b")))
	w.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: builder, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch, delete]}
  - {apiGroups: [""], resources: [secrets], verbs: [get]}`)
	w.reaches("App", "shop", "ACTIVE")
	w.same("what was read", "one", field(w.get(w.config("b")), "data", "host"))

	if got := r.log.String(); strings.Contains(got, "b25l") { // "one", as a Secret holds it
		t.Error("the log has the content of the Secret")
	}

	w.delete(w.instance("App", "shop"))
	w.gone(w.instance("App", "shop"))
	w.same("an object is there", false, w.there(w.config("a")))
}

func TestTheContentOfASecretIsNowhereToBeRead(t *testing.T) {
	t.Parallel()

	const canary, encoded = "Canary!yellow!bird", "Q2FuYXJ5IXllbGxvdyFiaXJk"

	w := newWorld(t)
	r := w.start()
	w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: NAMESPACE}, stringData: {password: ` + canary + `}}`)
	w.define("App", "spec: {key: string | default=password}\nstatus: {bad: \"${int(string(db.data.password))}\", index: \"${[1][int(string(db.data.password))]}\"}", `
- {id: db, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: db}}}
- {id: copy, template: {apiVersion: v1, kind: Secret, metadata: {name: copy}, stringData: {"password": "${string(db.data.password)}"}}}
- {id: invalid, template: {apiVersion: v1, kind: Secret, metadata: {name: invalid, labels: {l: "${string(db.data.password)}"}}}}
- {id: typed, template: {apiVersion: v1, kind: Secret, metadata: {name: typed}, type: "${'kubernetes.io/dockerconfigjson'}", stringData: {.dockerconfigjson: "${string(db.data.password)}"}}}
- {id: number, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: number}, data: {v: "${string(int(string(db.data.password)))}"}}}
- {id: noted, template: {apiVersion: v1, kind: Secret, metadata: {name: noted, annotations: {a: "${string(db.data.password)}"}}}}
- {id: label2, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: l2, labels: {l: "${noted.metadata.annotations.a}"}}}}
- {id: parts, forEach: [{part: "${string(db.data.password).split(',')}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "e-${schema.metadata.labels[part]}"}, data: {p: "${part}"}}}
- {id: name, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${string(db.data.password)}"}}}
- {id: label, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: l, labels: {l: "${string(db.data.password)}"}}}}
- {id: moment, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {v: "${string(timestamp(string(db.data.password)))}"}}}
- {id: found, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: f}, data: {v: "${{'a': 'b'}[string(db.data.password)]}"}}}`)
	w.make("App", "shop", "{}")
	o := w.reaches("App", "shop", "ERROR")

	var all eventsv1.EventList
	w.must(w.client.List(t.Context(), &all, client.InNamespace(w.namespace)))

	told, err := yaml.Marshal(all)
	w.must(err)

	for what, text := range map[string]string{
		"the conditions": condition(o, "ResourcesReady") + condition(o, "Ready"),
		"the log":        r.log.String(),
		"the events":     string(told),
	} {
		for _, secret := range []string{canary, encoded} {
			for line := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == ';' || c == '\n' }) {
				if strings.Contains(line, secret) {
					t.Errorf("%s have the content of the Secret: %s", what, strings.ReplaceAll(line, secret, "<SECRET>"))
				}
			}
		}
	}
}

func TestARightThatIsTakenAwayCountsAfterFiveMinutes(t *testing.T) {
	t.Parallel()

	now := clocktesting.NewFakeClock(time.Now())
	w := newWorld(t)
	w.start(func(p *parts) { p.clock = now })
	ticking(t, now)
	w.apply(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: NAMESPACE}}
---
{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: NAMESPACE}, stringData: {host: one}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: builder, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch, delete]}
  - {apiGroups: [""], resources: [secrets], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: builder, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: builder}
subjects: [{kind: ServiceAccount, name: builder, namespace: NAMESPACE}]`)
	w.define("App", `metadata: {annotations: {lockstep.dev/service-account: builder}}
spec: {name: string | default=app}`, `
- {id: db, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: db}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {name: "${schema.spec.name}", db: "${db.metadata.name}"}}}`)
	w.make("App", "shop", "{}")
	w.reaches("App", "shop", "ACTIVE")
	w.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: builder, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch, delete]}`)

	// The server takes over what is allowed a moment later.
	for w.allowed("get", "secrets", "db") {
	}

	w.merge(w.instance("App", "shop"), `{"spec":{"name":"two"}}`)
	w.with(w.config("a"), "two", "data", "name")
	now.Step(5 * time.Minute)
	w.merge(w.instance("App", "shop"), `{"spec":{"name":"three"}}`)

	if got := condition(w.reaches("App", "shop", "ERROR"), "ResourcesReady"); !strings.Contains(got, "may not get secrets") {
		t.Errorf("the condition %q does not say which right is missing", got)
	}
}

// allowed asks the server whether the ServiceAccount builder may do something.
func (w *world) allowed(verb, resource, name string) bool {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + w.namespace + ":builder",
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Version: "v1", Resource: resource, Namespace: w.namespace, Name: name,
		},
	}}
	w.must(w.client.Create(w.Context(), review))

	return review.Status.Allowed
}
