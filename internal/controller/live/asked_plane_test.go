package live_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// What cannot be had is told with its place and its reason, whatever is wrong with it, and the store stays as it is.
func TestWhatCannotBeHadIsToldAndTheRestWaits(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		setting lockstepv1alpha1.LiveSetting
		store   func(*lockstepv1alpha1.LiveStore)
		reason  string
		want    string
	}{
		"a Secret that is not there": {
			setting: from("maxmemory-samples", "nowhere", "a"), reason: "SourceMissing", want: "Secret nowhere does not exist",
		},
		"a key that is not there": {
			setting: from("maxmemory-samples", "there", "b"), reason: "SourceMissing", want: "Secret there has no key b",
		},
		"a store that is not there": {
			setting: func() lockstepv1alpha1.LiveSetting {
				s := set("maxmemory-samples", "3")
				s.StoreRef = &lockstepv1alpha1.StoreReference{Name: "nowhere"}

				return s
			}(), reason: "SourceMissing", want: "LiveStore nowhere does not exist",
		},
		"a setting that the store does not know": {
			setting: set("maxmemory-sample", "3"), reason: "Refused", want: "cache: maxmemory-sample ",
		},
		"a setting that can only be set at the start": {
			setting: set("databases", "3"), reason: "Refused", want: "cache: databases ",
		},
		"a setting that is dangerous": {
			setting: set("requirepass", "x"), reason: "Refused", want: "list it by its name in settings.allow of LiveStore cache",
		},
		"a setting that is denied": {
			setting: set("maxmemory-samples", "3"), store: func(l *lockstepv1alpha1.LiveStore) {
				l.Spec.Settings.Deny = []string{"maxmemory-*"}
			}, reason: "Refused", want: "is on the list settings.deny of LiveStore cache",
		},
		"a setting that is not on the list": {
			setting: set("maxmemory-samples", "3"), store: func(l *lockstepv1alpha1.LiveStore) {
				l.Spec.Settings.Allow = []string{"maxmemory"}
			}, reason: "Refused", want: "is not on the list settings.allow of LiveStore cache",
		},
		"a value that does not satisfy its validation": {
			setting: func() lockstepv1alpha1.LiveSetting {
				s := set("maxmemory-samples", "3")
				s.Validate = "int(value) > 5"

				return s
			}(), reason: "Refused", want: "does not satisfy its validate expression int(value) > 5",
		},
		"a validation that is no expression": {
			setting: func() lockstepv1alpha1.LiveSetting {
				s := set("maxmemory-samples", "3")
				s.Validate = "value >"

				return s
			}(), reason: "Refused", want: "has a validate expression that cannot be used",
		},
		"a setting that is asked for twice": {
			setting: set("maxmemory", "3mb"), reason: "Refused", want: "maxmemory is asked for twice in settings",
		},
		"a scope that the store does not have": {
			setting: scopedTo(lockstepv1alpha1.LiveScope{Database: "shop"}, set("maxmemory-samples", "3")), reason: "Refused",
			want: "maxmemory-samples",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			server := w.cache("cache", func(l *lockstepv1alpha1.LiveStore) {
				if tc.store != nil {
					tc.store(l)
				}
			})
			w.start()
			w.secret("there", map[string]string{"a": "1"})
			w.create(liveConfig("cache", "cache", set("maxmemory", "64mb"), tc.setting))

			refused := w.config("cache", "to be refused", told("Prechecked", "False/"+tc.reason))
			if message := says(refused, "Prechecked"); !strings.Contains(message, tc.want) {
				t.Errorf("the message is %q, want something with %q", message, tc.want)
			}

			server.expect("maxmemory", "0")
		})
	}
}

func scopedTo(scope lockstepv1alpha1.LiveScope, s lockstepv1alpha1.LiveSetting) lockstepv1alpha1.LiveSetting {
	s.LiveScope = scope

	return s
}

func TestWhatIsMissingArrivesWhenItComes(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.start()

	// The LiveConfig comes first, then its Secret, then its store.
	w.create(liveConfig("cache", "cache", from("maxmemory", "sizes", "memory")))
	w.config("cache", "to wait", told("Prechecked", "False/SourceMissing"))
	w.secret("sizes", map[string]string{"memory": "64mb"})
	server := w.cache("cache")
	w.ready("cache")
	server.expect("maxmemory", megabytes(64))
}

func TestWhatIsOptionalAndNotThereIsNotAskedFor(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	optional := from("maxmemory", "sizes", "memory")
	optional.ValueFrom.SecretKeyRef.Optional = true

	l := liveConfig("cache", "cache", set("maxmemory-samples", "3"), optional)
	l.Spec.From = []lockstepv1alpha1.LiveSource{{SecretRef: &lockstepv1alpha1.ObjectReference{Name: "more", Optional: true}}}
	w.create(l)
	w.ready("cache")
	server.expect("maxmemory", "0")

	w.secret("sizes", map[string]string{"memory": "64mb"})
	w.config("cache", "to have the second revision", at(2))
	server.expect("maxmemory", megabytes(64))

	// Gone again, it is given back.
	w.must(w.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "sizes"}}))
	w.config("cache", "to have the third revision", at(3))
	server.expect("maxmemory", "0")
}

func TestAWholeSourceIsAMapOfSettings(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	first := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "first"},
		Data:       map[string]string{"maxmemory": "1mb", "maxmemory-samples": "3", "maxmemory-policy": "allkeys-lru"},
	}
	w.create(first)
	w.secret("second", map[string]string{"maxmemory": "2mb", "maxmemory-samples": "4"})

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	l.Spec.From = []lockstepv1alpha1.LiveSource{
		{ConfigMapRef: &lockstepv1alpha1.ObjectReference{Name: "first"}}, {SecretRef: &lockstepv1alpha1.ObjectReference{Name: "second"}},
	}
	w.create(l)
	w.ready("cache")

	// A single setting wins over a source, and a later source over an earlier one.
	server.expect("maxmemory", megabytes(64))
	server.expect("maxmemory-samples", "4")
	server.expect("maxmemory-policy", "allkeys-lru")

	delete(first.Data, "maxmemory-policy")
	w.must(w.client.Update(t.Context(), first))
	w.config("cache", "to have the second revision", at(2))
	server.expect("maxmemory-policy", "noeviction")
}

func TestADryRunAndASuspensionWriteNothing(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	l.Spec.Policy.DryRun = true
	w.create(l)

	dry := w.config("cache", "to tell what it would change", told("Applied", "False/DryRun"))
	server.expect("maxmemory", "0")

	if message := says(dry, "Ready"); !strings.Contains(message, "maxmemory would change") {
		t.Errorf("Ready says %q", message)
	}

	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Policy.DryRun = false })
	w.ready("cache")
	server.expect("maxmemory", megabytes(64))

	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) {
		s.Policy.Suspend = true
		s.Settings[0] = set("maxmemory", "65mb")
	})
	w.config("cache", "to be suspended", func(l *lockstepv1alpha1.LiveConfig) bool {
		return strings.HasPrefix(says(l, "Ready"), "Ready=Unknown/Suspended")
	})
	server.expect("maxmemory", megabytes(64))

	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Policy.Suspend = false })
	w.config("cache", "to have the second revision", at(2))
	server.expect("maxmemory", megabytes(65))

	// What is deleted while it is suspended stays as it is.
	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Policy.Suspend = true })
	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", megabytes(65))
}

func TestChangesKeepTheirDistance(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.cache("cache")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	l.Spec.Policy.MinInterval = seconds(3)
	w.create(l)
	w.ready("cache")

	begun := time.Now()

	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("maxmemory", "65mb") })
	w.config("cache", "to wait", told("Applied", "False/Waiting"))
	w.config("cache", "to have the second revision", at(2))

	if took := time.Since(begun); took < time.Second {
		t.Errorf("the second change came after %s", took)
	}

	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) {
		s.Policy.MinInterval, s.Policy.MaxChangesPerHour = nil, new(int32(2))
		s.Settings[0] = set("maxmemory", "66mb")
	})

	waiting := w.config("cache", "to wait for the hour to be over", told("Applied", "False/Waiting"))
	if message := says(waiting, "Ready"); !strings.Contains(message, "maxChangesPerHour 2 is reached") {
		t.Errorf("Ready says %q", message)
	}
}

func TestTheBestIsMadeOfAChangeIfThePolicySaysSo(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"), set("maxmemory-samples", "many"), set("maxmemory-policy", "allkeys-lru"))
	l.Spec.Policy.Atomicity = lockstepv1alpha1.AtomicBestEffort
	w.create(l)

	best := w.config("cache", "to have made the best of it", func(l *lockstepv1alpha1.LiveConfig) bool { return l.Status.Revision == 1 })
	server.expect("maxmemory", megabytes(64))
	server.expect("maxmemory-policy", "allkeys-lru")

	want := map[string]lockstepv1alpha1.SettingState{"maxmemory": "Applied", "maxmemory-samples": "Refused", "maxmemory-policy": "Applied"}
	if diff := cmp.Diff(want, states(best)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}

	if message := says(best, "Ready"); !strings.HasPrefix(message, "Ready=False/Refused: cache: maxmemory-samples") {
		t.Errorf("Ready says %q", message)
	}

	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[1] = set("maxmemory-samples", "4") })
	w.ready("cache")
	server.expect("maxmemory-samples", "4")

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", "0")
	server.expect("maxmemory-samples", "5")
}

func TestEachReadyEndpointBehindAServiceIsANode(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.start()

	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "cache"},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Name: "redis", Port: 6379}}},
	}
	l := liveStore("cache", lockstepv1alpha1.StoreRedis)
	l.Spec.Service = &lockstepv1alpha1.ServiceReference{Name: "cache", Port: "redis", EachEndpoint: true}
	w.create(service, l)
	w.store("cache", "to have no endpoints", "False/NoEndpoints")

	// The server takes no address of this machine, so that nobody is there: what counts is where he is looked for.
	w.create(&discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "cache-1", Labels: map[string]string{discoveryv1.LabelServiceName: "cache"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("redis"), Port: new(int32(6379))}, {Name: new("metrics"), Port: new(int32(9121))}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"192.0.2.1"}},
			{Addresses: []string{"192.0.2.2"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)}},
			{Addresses: []string{"192.0.2.3"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}},
		},
	})

	down := w.store("cache", "to look for both", "False/Unreachable")
	for _, part := range []string{"192.0.2.1:6379", "192.0.2.3:6379"} {
		if message := down.Status.Conditions[0].Message; !strings.Contains(message, part) || strings.Contains(message, "192.0.2.2") {
			t.Errorf("the message is %q, want something with %s", message, part)
		}
	}
}

func TestEveryNodeGetsTheSameAndGivesItsOwnBack(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	one, other := w.cache("one"), w.cache("other")
	one.set("maxmemory-samples", "9")
	other.set("maxmemory-samples", "8")
	w.create(liveStore("both", lockstepv1alpha1.StoreRedis, one.Addr(), other.Addr()))
	w.start()

	l := liveConfig("both", "both", set("maxmemory-samples", "3"))
	w.create(l)

	done := w.ready("both")
	if len(done.Status.Settings) != 2 || done.Status.Settings[0].Node != one.Addr() {
		t.Errorf("the settings are %+v", done.Status.Settings)
	}

	one.expect("maxmemory-samples", "3")
	other.expect("maxmemory-samples", "3")

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	one.expect("maxmemory-samples", "9")
	other.expect("maxmemory-samples", "8")
}
