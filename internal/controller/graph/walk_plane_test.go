package graph_test

import "testing"

const webApp = `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: ID-web}
spec:
  schema:
    apiVersion: v1alpha1
    kind: WebApp
    group: GROUP
    spec:
      name: string
      replicas: integer | default=1
    status:
      endpoint: ${service.metadata.name}
  resources:
    - id: config
      template:
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: "${schema.spec.name}-config"}
        data: {greeting: "hello ${schema.spec.name}"}
    - id: service
      template:
        apiVersion: v1
        kind: Service
        metadata: {name: "${schema.spec.name}"}
        spec: {selector: {app: "${schema.spec.name}"}, ports: [{port: 80}]}
    - id: deployment
      template:
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: "${schema.spec.name}"}
        spec:
          replicas: ${schema.spec.replicas}
          selector: {matchLabels: {app: "${schema.spec.name}"}}
          template:
            metadata:
              labels: {app: "${schema.spec.name}"}
              annotations: {config: "${config.metadata.resourceVersion}"}
            spec: {containers: [{name: main, image: nginx}]}
`

func TestAnInstanceBecomesActiveWithItsObjects(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.start()
	w.apply(webApp)
	w.active(w.id + "-web")
	w.apply(`
apiVersion: GROUP/v1alpha1
kind: WebApp
metadata: {name: shop, namespace: NAMESPACE}
spec: {name: shop}
`)
	o := w.eventually(w.object("GROUP/v1alpha1", "WebApp", "shop"), "to be ACTIVE", inState("ACTIVE"))
	t.Log(o.Object["status"], r.requests.Seen())
}
