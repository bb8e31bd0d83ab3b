package live_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func TestTheServerSaysWhatIsWrongWithAnObject(t *testing.T) {
	t.Parallel()

	w := newWorld(t)

	cases := map[string]struct{ kind, spec, want string }{
		"a LiveStore of no type that exists": {"LiveStore", `{type: Oracle, endpoints: ["a:1"]}`, `Unsupported value: "Oracle"`},
		"with the name of a port where a number is needed": {
			"LiveStore", `{type: Redis, service: {name: a, port: redis}}`, "port is a number: only with eachEndpoint it may be a name",
		},
		"with neither endpoints nor service": {"LiveStore", `{type: Redis}`, "give either endpoints or service"},
		"with both": {
			"LiveStore", `{type: Redis, endpoints: ["a:1"], service: {name: a, port: "1"}}`, "give either endpoints or service",
		},
		"with no endpoint":                   {"LiveStore", `{type: Redis, endpoints: []}`, "should have at least 1 items"},
		"HTTP without its requests":          {"LiveStore", `{type: HTTP, endpoints: ["http://a"]}`, "type HTTP needs it"},
		"requests without HTTP":              {"LiveStore", `{type: Redis, endpoints: ["a:1"], http: {apply: {path: /}}}`, "http goes with type HTTP"},
		"a request whose path is none":       {"LiveStore", `{type: HTTP, endpoints: ["http://a"], http: {apply: {path: a}}}`, "should match '^/'"},
		"a database for a store without":     {"LiveStore", `{type: Etcd, endpoints: ["a:1"], database: b}`, "database goes with type"},
		"persist for a store that always is": {"LiveStore", `{type: Etcd, endpoints: ["a:1"], persist: true}`, "persist goes with type"},
		"TLS for Ceph": {
			"LiveStore", `{type: Ceph, endpoints: ["a:1"], tls: {}, credentials: {secretName: a}}`, "tls does not go with type Ceph",
		},
		"Ceph without credentials":   {"LiveStore", `{type: Ceph, endpoints: ["a:1"]}`, "type Ceph needs credentials"},
		"a probe that is too often":  {"LiveStore", `{type: Redis, endpoints: ["a:1"], probeInterval: 1ms}`, "probeInterval is 0s or at least 1s"},
		"a timeout that is too long": {"LiveStore", `{type: Redis, endpoints: ["a:1"], timeouts: {command: 1h}}`, "command is from 100ms to 5m"},
		"a connect that is no time":  {"LiveStore", `{type: Redis, endpoints: ["a:1"], timeouts: {connect: soon}}`, "connect is from 100ms to 5m"},

		"a LiveConfig that asks for nothing":   {"LiveConfig", `{storeRef: {name: a}}`, "give settings, from, or both"},
		"without a store":                      {"LiveConfig", `{settings: [{name: a, value: b}]}`, "give storeRef, or one for each"},
		"a setting without a name":             {"LiveConfig", `{storeRef: {name: a}, settings: [{value: b}]}`, "give either name"},
		"a setting without a value":            {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b}]}`, "give either value or valueFrom"},
		"with two values":                      {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c, valueFrom: {secretKeyRef: {name: a, key: b}}}]}`, "give either value or valueFrom"},
		"a value from nowhere":                 {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, valueFrom: {}}]}`, "give either secretKeyRef or configMapKeyRef"},
		"a whole source of nothing":            {"LiveConfig", `{storeRef: {name: a}, from: [{}]}`, "give either secretRef or configMapRef"},
		"two scopes that exclude each other":   {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c, who: global, role: d}]}`, "who goes alone"},
		"a prefix with a database":             {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c, prefix: p, database: d}]}`, "prefix goes alone"},
		"a password with a value of a setting": {"LiveConfig", `{storeRef: {name: a}, settings: [{value: x, password: {role: r, valueFrom: {secretKeyRef: {name: a, key: b}}}}]}`, "nothing but storeRef goes with it"},
		"a password of nobody":                 {"LiveConfig", `{storeRef: {name: a}, settings: [{password: {valueFrom: {secretKeyRef: {name: a, key: b}}}}]}`, "give either role or roleFrom"},
		"a password in no mode that exists":    {"LiveConfig", `{storeRef: {name: a}, settings: [{password: {role: r, mode: triple, valueFrom: {secretKeyRef: {name: a, key: b}}}}]}`, `Unsupported value: "triple"`},
		"a retirement of a swapped password":   {"LiveConfig", `{storeRef: {name: a}, settings: [{password: {role: r, mode: swap, retireAfter: 1h, valueFrom: {secretKeyRef: {name: a, key: b}}}}]}`, "retireAfter goes with mode dual"},
		"a policy that does not exist":         {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {onFailure: panic}}`, `Unsupported value: "panic"`},
		"an atomicity that does not exist":     {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {atomicity: some}}`, `Unsupported value: "some"`},
		"a removal that does not exist":        {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {onRemove: delete}}`, `Unsupported value: "delete"`},
		"a drift policy that does not exist":   {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {onDrift: ignore}}`, `Unsupported value: "ignore"`},
		"a restart policy that does not exist": {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {restartRequired: maybe}}`, `Unsupported value: "maybe"`},
		"a window that is too long":            {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {settleWindow: 2h}}`, "settleWindow is from 0s to 1h"},
		"an interval that is negative":         {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {minInterval: -1s}}`, "minInterval is from 0s to 24h"},
		"no change in an hour":                 {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {maxChangesPerHour: 0}}`, "greater than or equal to 1"},
		"no history":                           {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], policy: {historyLimit: 0}}`, "greater than or equal to 1"},
		"a check without an expression":        {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], checks: [{name: d}]}`, "expression: Required value"},
		"two checks of one name":               {"LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}], checks: [{name: d, expression: "true"}, {name: d, expression: "true"}]}`, "Duplicate value"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			o := w.parse(tc.kind, tc.spec)

			err := w.client.Create(t.Context(), o, client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the server says %v, want something with %q", err, tc.want)
			}
		})
	}
}

func TestTheTypeOfAStoreStays(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	o := w.parse("LiveStore", `{type: Redis, endpoints: ["a:1"]}`)
	w.must(w.client.Create(t.Context(), o))
	w.must(unstructured.SetNestedField(o.Object, "MySQL", "spec", "type"))

	if err := w.client.Update(t.Context(), o); err == nil || !strings.Contains(err.Error(), "type is immutable") {
		t.Errorf("the server says %v", err)
	}
}

func TestANameThatIsTooLongForRecordsIsRefused(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	o := w.parse("LiveConfig", `{storeRef: {name: a}, settings: [{name: b, value: c}]}`)
	o.SetName(strings.Repeat("a", 201))

	if err := w.client.Create(t.Context(), o, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "at most 200 characters") {
		t.Errorf("the server says %v", err)
	}
}

// parse makes an object of one of our kinds.
func (w *world) parse(kind, spec string) *unstructured.Unstructured {
	w.Helper()

	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAPIVersion("lockstep.dev/v1alpha1")
	o.SetKind(kind)
	o.SetNamespace(w.namespace)
	o.SetName("example")

	var decoded map[string]any

	w.must(yaml.Unmarshal([]byte(spec), &decoded))
	o.Object["spec"] = decoded

	return o
}
