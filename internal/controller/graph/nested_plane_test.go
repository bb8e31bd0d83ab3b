package graph_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
)

func TestInstancesNest(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§10 one level":    func(r *run) { nested(r, 1) },
		"§10 three levels": func(r *run) { nested(r, 3) },
		"§10 six levels":   func(r *run) { nested(r, 6) },
		"§10 an inner instance is as good as there, unless it is waited for by readyWhen":    innerReadiness,
		"§10 definitions that come in the wrong order, change, go and come again":            innerDefinition,
		"three levels wait for a field with waitFor, and say which":                          threeLevels,
		"§10 an inner instance that somebody deletes comes back, with what stands behind it": innerDeleted,
	})
}

// levels defines Level1 to LevelN: each makes the one above it, the last one a Vpc. A value goes to the end and comes back.
func levels(r *run, n int) {
	r.cloud()

	for level := n; level >= 1; level-- {
		object := fmt.Sprintf(`
- {id: inner, template: {apiVersion: GROUP/v1alpha1, kind: Level%d, metadata: {name: "${schema.metadata.name}"}, spec: {value: "${schema.spec.value}"}}}`, level+1)
		if level == n {
			object = `
- {id: inner, template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: "${schema.metadata.name}"}, spec: {value: "${schema.spec.value}"}}}`
		}

		r.define(fmt.Sprint("Level", level), "spec: {value: string}\nstatus: {id: \"${inner.status.id}\"}", object+`
- {id: reader, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-`+strconv.Itoa(level)+`"}, data: {id: "${inner.status.id}"}}}`)
	}
}

func nested(r *run, n int) {
	levels(r, n)
	r.make("Level1", "top", "{value: one}")
	r.says("Level1", "top", "ResourcesReady", "inner.status.id")
	r.with(r.vpc("top"), "one", "spec", "value")
	r.mergeStatus(r.vpc("top"), `{"status":{"id":"vpc-1"}}`)

	for level := 1; level <= n; level++ {
		o := r.reaches(fmt.Sprint("Level", level), "top", "ACTIVE")
		r.same(fmt.Sprint("the status of level ", level), any("vpc-1"), field(o, "status", "id"))
	}

	r.make("Level1", "top", "{value: two}")
	r.with(r.vpc("top"), "two", "spec", "value")
	r.mergeStatus(r.vpc("top"), `{"status":{"id":"vpc-2"}}`)
	r.with(r.config("top-1"), "vpc-2", "data", "id")
	r.same("the top says it too", any("vpc-2"), field(r.with(r.instance("Level1", "top"), "vpc-2", "status", "id"), "status", "id"))

	// From the outside in: nothing is left, and every level waits for the one below.
	r.merge(r.vpc("top"), `{"metadata":{"finalizers":["test.example.com/hold"]}}`)
	r.delete(r.instance("Level1", "top"))
	r.eventually(r.vpc("top"), "to be on its way", func(o *unstructured.Unstructured) bool { return o.GetDeletionTimestamp() != nil })

	for level := 1; level <= n; level++ {
		r.reaches(fmt.Sprint("Level", level), "top", "DELETING")
		r.gone(r.config(fmt.Sprint("top-", level)))
	}

	letGo(r, r.vpc("top"))
	r.gone(r.instance("Level1", "top"))
	r.same("the innermost is there", false, r.there(r.vpc("top")))
}

func innerReadiness(r *run) {
	r.cloud()
	r.define("Inner", names, `
- {id: vpc, readyWhen: ["${vpc.status.ready}"], template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: "${schema.metadata.name}"}, spec: {}}}`)
	r.define("Outer", names, `
- {id: inner, template: {apiVersion: GROUP/v1alpha1, kind: Inner, metadata: {name: "${schema.metadata.name}"}, spec: {}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${inner.metadata.name}-a"}}}`)
	r.define("Strict", names, `
- id: inner
  readyWhen: ["${inner.status.state == 'ACTIVE'}"]
  template: {apiVersion: GROUP/v1alpha1, kind: Inner, metadata: {name: "${schema.metadata.name}"}, spec: {}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${inner.metadata.name}-a"}}}`)
	r.make("Outer", "easy", "{}")
	r.reaches("Outer", "easy", "ACTIVE")
	r.reaches("Inner", "easy", "IN_PROGRESS")
	r.make("Strict", "strict", "{}")
	r.says("Strict", "strict", "ResourcesReady", `waiting for node "inner"`)
	r.same("what comes after it is there", false, r.there(r.config("strict-a")))
	r.with(r.vpc("strict"), "Vpc", "kind")
	r.mergeStatus(r.vpc("strict"), `{"status":{"ready":true}}`)
	r.reaches("Strict", "strict", "ACTIVE")
}

func innerDefinition(r *run) {
	const outer = `
- {id: inner, template: {apiVersion: GROUP/v1alpha1, kind: Inner, metadata: {name: "${schema.metadata.name}"}, spec: {}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {v: "${inner.status.FIELD}"}}}`

	inner := func(field string) string {
		return r.definitionOf("Inner", names+"\nstatus: {"+field+": \"${a.data.v}\"}", `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: inner}, data: {v: `+field+`}}}`)
	}

	r.apply(r.definitionOf("Outer", names, strings.ReplaceAll(outer, "FIELD", "first")))
	r.definition(r.nameOf("Outer"), "to miss the inner kind", func(d *krov1alpha1.ResourceGraphDefinition) bool {
		return d.Status.State == krov1alpha1.StateInactive
	})
	r.apply(inner("first"))
	r.active(r.nameOf("Outer"))
	r.make("Outer", "shop", "{}")
	r.reaches("Outer", "shop", "ACTIVE")
	r.with(r.config("a"), "first", "data", "v")

	// A field that the inner kind does not have yet.
	r.apply(r.definitionOf("Outer", names, strings.ReplaceAll(outer, "FIELD", "second")))
	r.definition(r.nameOf("Outer"), "to be refused", func(d *krov1alpha1.ResourceGraphDefinition) bool {
		return d.Status.State == krov1alpha1.StateInactive
	})
	r.apply(strings.Replace(inner("second"), "metadata: {name: ", `metadata: {annotations: {kro.run/allow-breaking-changes: "true"}, name: `, 1))
	r.active(r.nameOf("Outer"))
	r.with(r.instance("Inner", "shop"), "second", "status", "second")
	r.with(r.config("a"), "second", "data", "v")
	r.reaches("Outer", "shop", "ACTIVE")
}

// threeLevels is the second story: the top waits for fields that the bottom gets late.
func threeLevels(r *run) {
	r.cloud()
	r.define("Network", names+"\nstatus: {subnet1: \"${vpc.status.subnet1}\", subnet2: \"${vpc.status.subnet2}\"}", `
- {id: vpc, template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: "${schema.metadata.name}"}, spec: {}}}`)
	r.define("Cluster", "spec: {subnet: string}\nstatus: {endpoint: \"${a.data.subnet}\"}", `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {subnet: "${schema.spec.subnet}"}}}`)
	r.define("Platform", names+"\nstatus: {endpoint: \"${cluster.status.endpoint}\"}", `
- {id: network, template: {apiVersion: GROUP/v1alpha1, kind: Network, metadata: {name: "${schema.metadata.name}"}, spec: {}}}
- id: cluster
  waitFor: {network: {fields: [status.subnet1, status.subnet2], matches: {status.subnet1: "^subnet-"}, timeout: 10m}}
  template: {apiVersion: GROUP/v1alpha1, kind: Cluster, metadata: {name: "${schema.metadata.name}"}, spec: {subnet: "${network.status.subnet1}"}}`)
	r.make("Platform", "p", "{}")

	const prefix = `False/WaitingForFields: resource reconciliation failed: waiting for fields before "cluster": `

	o := r.says("Platform", "p", "ResourcesReady", prefix)
	r.same("what is missing at first", prefix+`network.status.subnet2, network.status.subnet1 matching "^subnet-"`, condition(o, "ResourcesReady"))
	r.same("the state", "IN_PROGRESS", state(o))
	r.with(r.vpc("p"), "Vpc", "kind")
	r.mergeStatus(r.vpc("p"), `{"status":{"subnet2":"subnet-b"}}`)
	r.says("Platform", "p", "ResourcesReady", prefix+`network.status.subnet1 matching "^subnet-"`)
	r.eventually(r.instance("Platform", "p"), "to wait for one", func(o *unstructured.Unstructured) bool {
		return condition(o, "ResourcesReady") == prefix+`network.status.subnet1 matching "^subnet-"`
	})
	r.mergeStatus(r.vpc("p"), `{"status":{"subnet1":"pending"}}`)
	r.with(r.instance("Network", "p"), "pending", "status", "subnet1")
	r.mergeStatus(r.vpc("p"), `{"status":{"subnet1":"subnet-a"}}`)

	o = r.reaches("Platform", "p", "ACTIVE")
	r.with(r.instance("Platform", "p"), "subnet-a", "status", "endpoint")
	r.same("ResourcesReady", "True/AllResourcesReady: all resources are created and ready", condition(o, "ResourcesReady"))
}

func innerDeleted(r *run) {
	levels(r, 2)
	r.make("Level1", "top", "{value: one}")
	r.with(r.vpc("top"), "one", "spec", "value")
	r.mergeStatus(r.vpc("top"), `{"status":{"id":"vpc-1"}}`)
	r.reaches("Level1", "top", "ACTIVE")

	uid := r.get(r.vpc("top")).GetUID()
	r.delete(r.instance("Level2", "top"))
	r.eventually(r.vpc("top"), "to be another", func(o *unstructured.Unstructured) bool { return o.GetUID() != uid })
	r.says("Level1", "top", "ResourcesReady", "inner.status.id")
	r.mergeStatus(r.vpc("top"), `{"status":{"id":"vpc-2"}}`)
	r.with(r.config("top-1"), "vpc-2", "data", "id")
	r.reaches("Level1", "top", "ACTIVE")
}

func TestAWaitThatTakesTooLongSaysSoAndRecovers(t *testing.T) {
	t.Parallel()

	now := clocktesting.NewFakeClock(time.Now())
	w := newWorld(t)
	r := w.start(func(p *parts) { p.clock = now })
	ticking(t, now)
	w.cloud()
	w.define("App", names, `
- {id: vpc, template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: vpc}, spec: {}}}
- id: a
  waitFor: {vpc: {fields: [status.id], timeout: 10m}}
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {id: "${vpc.status.id}"}}`)
	w.make("App", "shop", "{}")
	w.says("App", "shop", "ResourcesReady", `False/WaitingForFields: `)

	// A manager that comes later counts from where the first began.
	now.Step(6 * time.Minute)
	r.stop()
	r = w.start(func(p *parts) { p.clock = now })
	now.Step(3 * time.Minute)
	w.merge(w.vpc("vpc"), `{"status":{"subnet1":"x"}}`)
	w.says("App", "shop", "ResourcesReady", `False/WaitingForFields: `)
	now.Step(2 * time.Minute)

	o := w.says("App", "shop", "ResourcesReady",
		`False/WaitTimedOut: resource reconciliation failed: waiting for fields before "a": vpc.status.id`)
	w.same("the state", "IN_PROGRESS", state(o))
	w.mergeStatus(w.vpc("vpc"), `{"status":{"id":"vpc-1"}}`)
	w.reaches("App", "shop", "ACTIVE")
	w.same("what waited", any("vpc-1"), field(w.get(w.config("a")), "data", "id"))
	r.stop()
}

// ticking lets a fake clock go on by a little all the time, for those who wait for back-offs and the like.
func ticking(t *testing.T, c *clocktesting.FakeClock) {
	t.Helper()

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})

	go func() {
		defer close(done)

		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()

		for {
			select {
			case <-tick.C:
				c.Step(20 * time.Millisecond)
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
}
