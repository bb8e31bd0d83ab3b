package reload

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	app  = refs.Key{Kind: refs.ConfigMap, Namespace: "shop", Name: "app"}
)

// scene is a workload that reads the ConfigMap app by auto, and what happened to it.
type scene struct {
	kind        workload.Kind
	strategy    reload.Strategy
	annotations map[string]string
	template    map[string]string
	variables   []workload.Variable
	uses        []refs.Use
	paused      bool
	suspended   bool
	busy        bool
	from        map[string]string
	fromUnknown bool
	now         map[string]string
	gone        bool
	ignoreGone  bool
	unsure      bool
	tried       map[string]string
	removeStale bool
}

func content(data map[string]string) digest.Content {
	return digest.OfConfigMap(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app"}, Data: data})
}

func marker(data map[string]string) string { return content(data).Marker() }

func (s scene) decide(t *testing.T) step {
	t.Helper()

	if s.kind == "" {
		s.kind = workload.Deployment
	}

	if s.strategy == "" {
		s.strategy = reload.EnvVars
	}

	if s.annotations == nil {
		s.annotations = map[string]string{}
	}

	if _, named := s.annotations["configmap.reloader.stakater.com/reload"]; !named {
		s.annotations["reloader.stakater.com/auto"] = "true"
	}

	if s.uses == nil {
		s.uses = []refs.Use{{Kind: refs.ConfigMap, Name: "app", Container: "main"}}
	}

	options := reload.Options{Keys: reload.DefaultKeys()}
	policy, problems := reload.Parse(s.annotations, s.template, options)

	if len(problems) > 0 {
		t.Fatalf("the scene's annotations: %v", problems)
	}

	carried, err := reload.ParseCarried(s.annotations[reload.CarriedKey])
	if err != nil && s.annotations[reload.CarriedKey] != "" {
		t.Fatal(err)
	}

	f := facts{
		workload: &workload.Observed{
			Ref: workload.Ref{Kind: s.kind, Namespace: "shop", Name: "web"}, UID: "u1",
			Annotations: s.annotations, TemplateAnnotations: s.template, Variables: s.variables,
			Uses: s.uses, FirstContainer: "first", Paused: s.paused, Suspended: s.suspended, Busy: s.busy,
		},
		policy: policy, carried: carried, sources: map[refs.Key]*origin{}, now: noon,
	}

	if s.now != nil || s.gone {
		c := cause{key: app, seen: noon, unsure: s.unsure}
		if !s.fromUnknown {
			from := content(s.from)
			c.from = &from
		}

		if s.tried != nil {
			c.tried = []attempt{{marker(s.tried), content(s.tried).Whole}}
		}

		f.causes = []cause{c}
	}

	if s.now != nil {
		f.sources[app] = &origin{content: content(s.now), resourceVersion: "7"}
	}

	return decide(f, settings{
		strategy: s.strategy, keys: options.Keys, minInterval: time.Second, removeStale: s.removeStale,
		onDelete: !s.ignoreGone,
	})
}

func TestDecide(t *testing.T) {
	t.Parallel()

	a, b := map[string]string{"k": "a"}, map[string]string{"k": "b"}
	variable := "STAKATER_APP_CONFIGMAP"
	set := func(container string, data map[string]string) []workload.VariableChange {
		return []workload.VariableChange{{Container: container, Name: variable, Value: marker(data)}}
	}
	remove := []workload.VariableChange{{Container: "main", Name: variable, Remove: true}}

	tests := map[string]struct {
		scene     scene
		variables []workload.VariableChange
		skipped   telemetry.SkipReason
		after     time.Duration
		paused    *bool
		restart   bool
		unstamped bool
	}{
		"§6 a changed source sets the variable of the chosen container": {
			scene: scene{from: a, now: b}, variables: set("main", b),
		},
		"§6 a marker that names the content already writes nothing": {
			scene:   scene{from: a, now: b, variables: []workload.Variable{{Container: "main", Name: variable, Value: marker(b)}}},
			skipped: telemetry.SkipNotUpdated,
		},
		"§6 a marker in another container does not count": {
			scene:     scene{from: a, now: b, variables: []workload.Variable{{Container: "side", Name: variable, Value: marker(b)}}},
			variables: set("main", b),
		},
		"a change that was taken back before it was carried writes nothing": {
			scene: scene{from: a, now: a}, skipped: telemetry.SkipNoDataChange,
		},
		"what the workload carries already is not carried again": {
			scene:   scene{fromUnknown: true, now: b, annotations: carriedAnnotation(t, b, noon.Add(-time.Hour))},
			skipped: telemetry.SkipNoDataChange,
		},
		"§3 a named source that nothing reads goes to the first container": {
			scene: scene{
				from: a, now: b, uses: []refs.Use{{Kind: refs.Secret, Name: "other", Container: "main"}},
				annotations: map[string]string{"configmap.reloader.stakater.com/reload": "app"},
			},
			variables: set("first", b),
		},
		"§4 auto without a reference is skipped": {
			scene:   scene{from: a, now: b, uses: []refs.Use{{Kind: refs.Secret, Name: "other", Container: "main"}}},
			skipped: telemetry.SkipNotUpdated,
		},
		"§8 a deleted source takes its variable away": {
			scene:     scene{from: a, gone: true, variables: []workload.Variable{{Container: "main", Name: variable, Value: marker(a)}}},
			variables: remove,
		},
		"§8 a deleted source is no change unless deletions count": {
			scene: scene{
				from: a, gone: true, ignoreGone: true,
				variables: []workload.Variable{{Container: "main", Name: variable, Value: marker(a)}},
			},
			skipped: telemetry.SkipIgnored,
		},
		"a change that was taken back after a write that may have been done is written again": {
			scene: scene{from: a, now: a, unsure: true}, variables: set("main", a),
		},
		"§6 what the marker names is not written again after a write that may have been done": {
			scene: scene{
				from: a, now: b, unsure: true,
				variables: []workload.Variable{{Container: "main", Name: variable, Value: marker(b)}},
			},
			skipped: telemetry.SkipNotUpdated,
		},
		"a change that was taken back after one that may have been written is written, whatever the workload says": {
			scene: scene{
				from: b, now: a, unsure: true, tried: b, annotations: carriedAnnotation(t, a, noon.Add(-time.Hour)),
				variables: []workload.Variable{{Container: "main", Name: variable, Value: marker(a)}},
			},
			variables: set("main", a),
		},
		"§8 a deleted source that never triggered writes nothing": {
			scene: scene{from: a, gone: true}, skipped: telemetry.SkipNotUpdated,
		},
		"a second change waits for the interval": {
			scene: scene{from: a, now: b, annotations: carriedAnnotation(t, a, noon.Add(-400*time.Millisecond))},
			after: 600 * time.Millisecond,
		},
		"§11 a pause period pauses in the same write": {
			scene: scene{
				from: a, now: b, annotations: map[string]string{"deployment.reloader.stakater.com/pause-period": "5m"},
			},
			variables: set("main", b), paused: new(true), after: 5 * time.Minute,
		},
		"§11 what somebody else paused is marked and stays paused": {
			scene: scene{
				from: a, now: b, paused: true,
				annotations: map[string]string{"deployment.reloader.stakater.com/pause-period": "5m"},
			},
			variables: set("main", b),
		},
		"§11 a pause of ours goes on for what is left of it, also after a restart": {
			scene: scene{paused: true, annotations: map[string]string{
				"deployment.reloader.stakater.com/pause-period": "5m",
				"deployment.reloader.stakater.com/paused-at":    noon.Add(-time.Minute).Format(time.RFC3339),
			}},
			after: 4 * time.Minute,
		},
		"§11 a pause of ours that is over ends": {
			scene: scene{paused: true, annotations: map[string]string{
				"deployment.reloader.stakater.com/pause-period": "5m",
				"deployment.reloader.stakater.com/paused-at":    noon.Add(-6 * time.Minute).Format(time.RFC3339),
			}},
			paused: new(false),
		},
		"a pause whose stamp nobody can read ends rather than lasting for ever": {
			scene: scene{paused: true, annotations: map[string]string{
				"deployment.reloader.stakater.com/pause-period": "5m",
				"deployment.reloader.stakater.com/paused-at":    "yesterday",
			}},
			paused: new(false),
		},
		"§11 the stamp of a pause that somebody ended is taken away": {
			scene: scene{annotations: map[string]string{
				"deployment.reloader.stakater.com/pause-period": "5m",
				"deployment.reloader.stakater.com/paused-at":    noon.Add(-time.Hour).Format(time.RFC3339),
			}},
			unstamped: true,
		},
		"a revert that was seen after an undone rollout is carried, though the annotation names its content": {
			scene: scene{
				from: b, now: a, annotations: carriedAnnotation(t, a, noon.Add(-time.Hour)),
				variables: []workload.Variable{{Container: "main", Name: variable, Value: marker(b)}},
			},
			variables: set("main", a),
		},
		"§10 a Rollout that asks for a restart is restarted and not marked": {
			scene: scene{
				kind: workload.Rollout, from: a, now: b,
				annotations: map[string]string{"reloader.stakater.com/rollout-strategy": "restart"},
			},
			restart: true,
		},
		"a suspended CronJob is not run": {
			scene: scene{kind: workload.CronJob, suspended: true, from: a, now: b}, skipped: telemetry.SkipIgnored,
		},
		"a CronJob that forbids concurrency waits for its Job": {
			scene: scene{kind: workload.CronJob, busy: true, from: a, now: b},
		},
		"only the keys that the workload filters by count": {
			scene: scene{
				from: map[string]string{"k": "a", "other": "1"}, now: map[string]string{"k": "a", "other": "2"},
				annotations: map[string]string{"lockstep.dev/keys": "cm/app=k"},
			},
			skipped: telemetry.SkipNoDataChange,
		},
		"a change of a key that the workload filters by is carried": {
			scene: scene{
				from: map[string]string{"k": "a"}, now: b, annotations: map[string]string{"lockstep.dev/keys": "cm/app=k"},
			},
			variables: set("main", b),
		},
		"stale variables go, when asked": {
			scene: scene{
				from: a, now: b, removeStale: true,
				variables: []workload.Variable{{Container: "main", Name: "STAKATER_OLD_CONFIGMAP", Value: digest.DeletedMarker}},
			},
			variables: append(set("main", b),
				workload.VariableChange{Container: "main", Name: "STAKATER_OLD_CONFIGMAP", Remove: true}),
		},
		"stale variables stay, when not asked": {
			scene: scene{
				from: a, now: b, variables: []workload.Variable{{Container: "main", Name: "STAKATER_OLD_CONFIGMAP", Value: digest.DeletedMarker}},
			},
			variables: set("main", b),
		},
	}

	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			d := tc.scene.decide(t)

			if diff := cmp.Diff(tc.variables, d.change.Variables); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(tc.skipped, d.skipped[app]); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(tc.after, d.after); diff != "" {
				t.Errorf("look again after (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(tc.paused, d.change.Paused); diff != "" {
				t.Errorf("paused (-want +got):\n%s", diff)
			}

			stamp, touched := d.change.Annotations["deployment.reloader.stakater.com/paused-at"]
			if tc.unstamped && (!touched || stamp != nil) {
				t.Errorf("the stamp stays: %+v", d.change)
			}

			if got := d.change.RestartAt != nil; got != tc.restart {
				t.Errorf("restart: want %v, got %v", tc.restart, got)
			}
		})
	}
}

func carriedAnnotation(t *testing.T, data map[string]string, at time.Time) map[string]string {
	t.Helper()

	carried := reload.Carried{At: at, Sources: map[string]digest.Sum{app.Local(): content(data).Whole}}

	return map[string]string{reload.CarriedKey: carried.String()}
}

func TestDecideNoticesAnEditThatTheCompatibleHashCannotSee(t *testing.T) {
	t.Parallel()

	one, two := map[string]string{"a": "1;b=2"}, map[string]string{"a": "1", "b": "2"}
	if marker(one) != marker(two) {
		t.Fatal("§5: the two contents should have one compatible hash")
	}

	variables := []workload.Variable{{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Value: marker(one)}}

	for name, tc := range map[string]struct {
		scene scene
		twin  bool
	}{
		"the workload is seen to have the former": {scene{from: one, now: two, variables: variables}, true},
		"the former was written without an answer, and its marker is not seen yet": {
			scene{from: map[string]string{"a": "0"}, now: two, unsure: true, tried: one}, true,
		},
		"what was written without an answer is what there is now": {
			scene{from: map[string]string{"a": "0"}, now: two, unsure: true, tried: two}, false,
		},
		"what was written without an answer has another hash": {
			scene{from: one, now: two, unsure: true, tried: map[string]string{"a": "0"}}, false,
		},
	} {
		d := tc.scene.decide(t)
		if len(d.edits) != 1 {
			t.Errorf("%s: edits %+v", name, d.edits)
		}

		if got := d.change.TemplateAnnotations[reload.ContentKey] != nil; got != tc.twin {
			t.Errorf("%s: want a mark that tells the contents apart: %v, got %+v", name, tc.twin, d.change)
		}
	}
}

func TestTheMarkOfContentsOfOneHashIsNewForEveryChange(t *testing.T) {
	t.Parallel()

	one, two := map[string]string{"a": "1;b=2"}, map[string]string{"a": "1", "b": "2"}
	flips := func(name string) edit { return edit{key: cm(name), sum: content(two).Whole, twin: true} }

	first := contentMark("", []edit{flips("a")})
	marks := []string{
		"", first,
		contentMark(first, []edit{flips("b")}), // another source with the same content
		contentMark(first, []edit{flips("a")}), // once more, after it was something else meanwhile
		contentMark(first, []edit{flips("a"), flips("b")}),
		contentMark(first, []edit{{key: cm("a"), sum: content(one).Whole, twin: true}}),
	}

	slices.Sort(marks)

	if distinct := slices.Compact(slices.Clone(marks)); len(distinct) != len(marks) {
		t.Errorf("two changes have one mark: %q", marks)
	}

	if again := contentMark("", []edit{flips("a")}); again != first {
		t.Errorf("what is written once more is %q, was %q", again, first)
	}
}

func TestDecideWritesTheAnnotationOfSection7(t *testing.T) {
	t.Parallel()

	d := scene{strategy: reload.Annotations, from: map[string]string{"k": "a"}, now: map[string]string{"key": "value"}}.decide(t)

	want := `{"type":"CONFIGMAP","name":"app","namespace":"shop","hash":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0",` +
		`"containerRefs":["main"],"observedAt":1772366400}`

	got := d.change.TemplateAnnotations["reloader.stakater.com/last-reloaded-from"]
	if got == nil {
		t.Fatalf("no annotation: %+v", d.change)
	}

	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if len(d.change.Variables) > 0 {
		t.Errorf("§7: env is untouched, got %v", d.change.Variables)
	}
}

// The annotation is written to the second: that of a write that may have been done would change nothing.
func TestTheAnnotationTellsOfWhatWasNotTriedYet(t *testing.T) {
	t.Parallel()

	annotations := map[string]string{"reloader.stakater.com/auto": "true"}
	policy, _ := reload.Parse(annotations, nil, reload.Options{Keys: reload.DefaultKeys()})
	one := content(map[string]string{"k": "1"})

	for _, tried := range []string{"a", "b"} {
		f := facts{
			workload: &workload.Observed{
				Ref: deployment("web"), UID: "u1", Annotations: annotations,
				Uses: []refs.Use{{Kind: refs.ConfigMap, Name: "a", Container: "main"}, {Kind: refs.ConfigMap, Name: "b", Container: "main"}},
			},
			policy: policy, sources: map[refs.Key]*origin{cm("a"): {content: one}, cm("b"): {content: one}}, now: noon,
		}

		for _, name := range names {
			c := cause{key: cm(name), seen: noon}
			if name == tried {
				c.unsure, c.tried = true, []attempt{{one.Marker(), one.Whole}}
			}

			f.causes = append(f.causes, c)
		}

		d := decide(f, settings{strategy: reload.Annotations, keys: reload.DefaultKeys()})

		last, err := reload.ParseLastReload(*d.change.TemplateAnnotations["reloader.stakater.com/last-reloaded-from"])
		if err != nil || len(d.edits) != 2 || last.Name == tried {
			t.Errorf("%s was tried: got %+v, %v", tried, last, err)
		}
	}
}
