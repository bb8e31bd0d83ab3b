package rook

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// object reads an object of Rook from YAML. It is named shop and has a uid.
func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()

	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}

	if o.Object == nil {
		o.Object = map[string]any{}
	}

	if o.GetName() == "" {
		o.SetName("shop")
	}

	o.SetNamespace("rook")
	o.SetUID("1")

	return o
}

// settings are those of a source, as "who/name from secret:key".
func settings(s *Source) []string {
	var texts []string

	for _, s := range s.Settings {
		ref := s.ValueFrom.SecretKeyRef
		text := fmt.Sprintf("%s/%s from %s:%s", s.Who, s.Name, ref.Name, ref.Key)

		if ref.Optional {
			text += "?"
		}

		texts = append(texts, text)
	}

	return texts
}

// notices are those of a source, as "reason field".
func notices(list []Notice) []string {
	var texts []string
	for _, n := range list {
		texts = append(texts, strings.TrimSpace(string(n.Reason)+" "+n.Field))
	}

	return texts
}

func TestReadCluster(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		text                string
		settings, notices   []string
		asks                bool
		onRemove, atomicity string
		credentials         string
	}{
		"one that asks for nothing": {text: `spec: {cephConfig: {mon: {a: "1"}}}`},
		"sections and options are sorted": {
			text:     `spec: {cephConfigFromSecret: {osd.0: {b: {name: s, key: k}}, global: {z: {name: s, key: k}, a: {name: s, key: k}}}}`,
			settings: []string{"global/a from s:k", "global/z from s:k", "osd.0/b from s:k"}, asks: true,
		},
		"optional is honoured": {
			text:     `spec: {cephConfigFromSecret: {mon: {a: {name: s, key: k, optional: true}}}}`,
			settings: []string{"mon/a from s:k?"}, asks: true,
		},
		"options of a module of the manager are spelt as they are": {
			text:     `spec: {cephConfigFromSecret: {mgr: {mgr/dash-board/GRAFANA_API_PASSWORD: {name: s, key: k}}}}`,
			settings: []string{"mgr/mgr/dash-board/GRAFANA_API_PASSWORD from s:k"}, asks: true,
		},
		"blanks and dashes are underscores": {
			text:     `spec: {cephConfigFromSecret: {mon: {debug mon: {name: s, key: k}, debug-paxos: {name: s, key: k}}}}`,
			settings: []string{"mon/debug_mon from s:k", "mon/debug_paxos from s:k"}, asks: true,
		},
		"what is also in clear is left out, in whatever spelling": {
			text: `spec: {cephConfig: {mon: {debug mon: "1"}, global: {a: "1"}},
				cephConfigFromSecret: {mon: {debug-mon: {name: s, key: k}, a: {name: s, key: k}}}}`,
			settings: []string{"mon/a from s:k"}, asks: true,
			notices: []string{"SettingOverruled spec.cephConfigFromSecret[mon][debug-mon]"},
		},
		"one whose settings are all in clear asks for nothing": {
			text:    `spec: {cephConfig: {mon: {a: "1"}}, cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`,
			notices: []string{"SettingOverruled spec.cephConfigFromSecret[mon][a]"},
		},
		"an option in two spellings counts once": {
			text:     `spec: {cephConfigFromSecret: {mon: {a b: {name: s, key: one}, a_b: {name: s, key: two}}}}`,
			settings: []string{"mon/a_b from s:one"}, asks: true,
			notices: []string{"InvalidSetting spec.cephConfigFromSecret[mon][a_b]"},
		},
		"what cannot be read is left out alone": {
			text:     `spec: {cephConfigFromSecret: {mon: {a: {name: s}, b: {key: k}, c: canary, d: {name: s, key: k}, "": {name: s, key: k}}, "": {e: {name: s, key: k}}}}`,
			settings: []string{"mon/d from s:k"}, asks: true,
			notices: []string{
				"InvalidSetting spec.cephConfigFromSecret[][e]", "InvalidSetting spec.cephConfigFromSecret[mon][]",
				"InvalidSetting spec.cephConfigFromSecret[mon][a]", "InvalidSetting spec.cephConfigFromSecret[mon][b]",
				"InvalidSetting spec.cephConfigFromSecret[mon][c]",
			},
		},
		"one of which nothing can be read still asks": {
			text: `spec: {cephConfigFromSecret: {mon: {a: {name: s}}}}`, asks: true,
			notices: []string{"InvalidSetting spec.cephConfigFromSecret[mon][a]"},
		},
		"fields that are no maps": {
			text:    `spec: {cephConfig: [], cephConfigFromSecret: {mon: x, mgr: null, osd: 5}}`,
			notices: []string{"InvalidSetting spec.cephConfig", "InvalidSetting spec.cephConfigFromSecret.mon", "InvalidSetting spec.cephConfigFromSecret.osd"},
		},
		"a section that no daemon reads": {
			text:     `spec: {cephConfigFromSecret: {"osd.*": {a: {name: s, key: k}}}}`,
			settings: []string{"osd.*/a from s:k"}, asks: true,
			notices: []string{"SettingIneffective spec.cephConfigFromSecret[osd.*][a]"},
		},
		"masks": {
			text:     `spec: {cephConfigFromSecret: {"osd/class:ssd": {a: {name: s, key: k}}}}`,
			settings: []string{"osd/class:ssd/a from s:k"}, asks: true,
		},
		"annotations": {
			text:     `metadata: {annotations: {lockstep.dev/on-remove: unset, lockstep.dev/atomicity: all, lockstep.dev/credentials: narrow}}`,
			onRemove: "unset", atomicity: "all", credentials: "narrow",
		},
		"annotations that mean nothing": {
			text:    `metadata: {annotations: {lockstep.dev/on-remove: Restore, lockstep.dev/atomicity: ""}}`,
			notices: []string{"InvalidAnnotation metadata.annotations[lockstep.dev/atomicity]", "InvalidAnnotation metadata.annotations[lockstep.dev/on-remove]"},
		},
		"a name of a Secret that is too long": {
			text:    `metadata: {annotations: {lockstep.dev/credentials: ` + strings.Repeat("a", 254) + `}}`,
			notices: []string{"InvalidAnnotation metadata.annotations[lockstep.dev/credentials]"},
		},
		"no spec": {text: `spec: null`},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := ReadCluster(object(t, test.text))

			type view struct {
				Settings, Notices                []string
				Asks                             bool
				OnRemove, Atomicity, Credentials string
			}

			want := view{
				Settings: test.settings, Notices: test.notices, Asks: test.asks, Credentials: test.credentials,
				OnRemove: or(test.onRemove, "keep"), Atomicity: or(test.atomicity, "best-effort"),
			}
			seen := view{
				Settings: settings(got), Notices: notices(got.Notices), Asks: got.Asks, Credentials: got.Credentials,
				OnRemove: string(got.OnRemove), Atomicity: string(got.Atomicity),
			}

			if diff := cmp.Diff(want, seen); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}

			for _, n := range got.Notices {
				if strings.Contains(n.Message, "canary") {
					t.Errorf("a notice shows what may be a secret: %s", n.Message)
				}
			}
		})
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}

	return text
}

func TestReadObjectStore(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		text              string
		settings, notices []string
	}{
		"the gateways are a, with dots for the dashes of the store": {
			text:     `{metadata: {name: web-eu-1}, spec: {gateway: {rgwConfigFromSecret: {rgw_a: {name: s, key: k}}}}}`,
			settings: []string{"client.rgw.web.eu.1.a/rgw_a from s:k"},
		},
		"a Secret wins over the clear text": {
			text:     `spec: {gateway: {rgwConfig: {rgw_a: "1"}, rgwConfigFromSecret: {rgw_a: {name: s, key: k}}}}`,
			settings: []string{"client.rgw.shop.a/rgw_a from s:k"},
		},
		"what cannot be read is left out alone": {
			text:     `spec: {gateway: {rgwConfigFromSecret: {rgw_a: {key: k}, rgw_b: {name: s, key: k}}}}`,
			settings: []string{"client.rgw.shop.a/rgw_b from s:k"},
			notices:  []string{"InvalidSetting spec.gateway.rgwConfigFromSecret[rgw_a]"},
		},
		"no gateway": {text: `spec: {}`},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := ReadObjectStore(object(t, test.text))
			if diff := cmp.Diff(test.settings, settings(got)); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(test.notices, notices(got.Notices)); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}

			if got.Atomicity != lockstepv1alpha1.AtomicAll {
				t.Errorf("atomicity is %q, want all", got.Atomicity)
			}
		})
	}
}

func TestMoreSettingsThanAConfigHolds(t *testing.T) {
	t.Parallel()

	options := map[string]any{}
	for i := range maxSettings + 2 {
		options[fmt.Sprintf("o%03d", i)] = map[string]any{"name": "s", "key": "k"}
	}

	o := object(t, "")
	o.Object["spec"] = map[string]any{"cephConfigFromSecret": map[string]any{"mon": options}}
	got := ReadCluster(o)

	if len(got.Settings) != maxSettings || len(got.Notices) != 1 || !strings.Contains(got.Notices[0].Message, "the last 2, from mon/o256 on") {
		t.Errorf("%d settings, notices %+v", len(got.Settings), got.Notices)
	}
}

// Whatever it has in it, an object is read the same each time, and what is read of it can be written.
func TestAnyObjectIsReadTheSameEachTime(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "a b", "a_b", "mgr/a b"}), rapid.String())
		leaf := rapid.Custom(func(t *rapid.T) any {
			return map[string]any{"name": text.Draw(t, "name"), "key": text.Draw(t, "key"), "optional": rapid.Bool().Draw(t, "optional")}
		})
		odd := rapid.OneOf(leaf, rapid.SampledFrom([]any{nil, "x", int64(5), []any{}}))
		section := rapid.OneOf(
			rapid.Map(rapid.MapOfN(text, odd, 0, 6), func(m map[string]any) any { return m }),
			rapid.SampledFrom([]any{nil, "x", true}))
		sections := rapid.MapOfN(text, section, 0, 4)
		o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"cephConfig": sections.Draw(t, "clear"), "cephConfigFromSecret": sections.Draw(t, "secret"),
		}}}

		got := ReadCluster(o)
		if diff := cmp.Diff(got, ReadCluster(o.DeepCopy())); diff != "" {
			t.Errorf("read twice:\n%s", diff)
		}

		seen := map[address]bool{}
		for _, s := range got.Settings {
			ref := s.ValueFrom.SecretKeyRef
			if s.Who == "" || s.Name == "" || ref.Name == "" || ref.Key == "" || seen[address{s.Who, s.Name}] {
				t.Errorf("a setting that cannot be written: %+v", s)
			}

			seen[address{s.Who, s.Name}] = true
		}
	})
}
