package digest_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/digest"
)

func configMap(name string, data map[string]string, binary map[string][]byte) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Data:       data,
		BinaryData: binary,
	}
}

func secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Data: data}
}

func TestMarkerKeepsTheCompatibleHash(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		content digest.Content
		want    string
	}{
		"§5 an empty ConfigMap": {
			digest.OfConfigMap(configMap("a", nil, nil)),
			"da39a3ee5e6b4b0d3255bfef95601890afd80709",
		},
		"§5 an empty Secret": {
			digest.OfSecret(secret("a", nil)),
			"da39a3ee5e6b4b0d3255bfef95601890afd80709",
		},
		"§5 one key of a ConfigMap": {
			digest.OfConfigMap(configMap("a", map[string]string{"key": "value"}, nil)),
			"dc30e0faa89a70dec1033016a2309bbeb9efcbd0",
		},
		"§5 one key of a Secret": {
			digest.OfSecret(secret("a", map[string][]byte{"key": []byte("value")})),
			"dc30e0faa89a70dec1033016a2309bbeb9efcbd0",
		},
		"§5 two keys": {
			digest.OfConfigMap(configMap("a", map[string]string{"b": "2", "a": "1"}, nil)),
			"f83e99e324ba68ccc373a58ef1eb42f8ab88646a",
		},
		"§5 binary data in base64": {
			digest.OfConfigMap(configMap("a", nil, map[string][]byte{"b": []byte("hello")})),
			"e549341f62c052d1f8a896553a0633085546addd",
		},
		"§5 lines are sorted, not keys": {
			digest.OfConfigMap(configMap("a", map[string]string{"a": "x", "a1": "y"}, nil)),
			"40aa971a771e0a4e91f25a87c47b7a8bde612ffa",
		},
		"§5 §12 a SecretProviderClass as a pod has it mounted": {
			digest.OfPodStatus("ns", "my-spc", []digest.Object{{ID: "secret/obj1", Version: "v1"}}),
			"e7e764c0b2db758b640b882c9288a7215ac368b9",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(tc.want, tc.content.Marker()); diff != "" {
				t.Errorf("marker (-want +got):\n%s", diff)
			}
		})
	}
}

// Labels, annotations, type and immutability are not contents.
func TestSection5OnlyContentsCount(t *testing.T) {
	t.Parallel()

	immutable := true
	plain := secret("a", map[string][]byte{"k": []byte("v")})
	dressed := plain.DeepCopy()
	dressed.Labels = map[string]string{"l": "1"}
	dressed.Annotations = map[string]string{"a": "1"}
	dressed.Type = corev1.SecretTypeTLS
	dressed.Immutable = &immutable
	dressed.StringData = map[string]string{"written": "only"}

	if diff := cmp.Diff(digest.OfSecret(plain), digest.OfSecret(dressed)); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}

	if got := digest.OfSecret(plain).Marker(); got == digest.DeletedMarker {
		t.Error("a Secret's marker is the one of a deleted source")
	}
}

// Short keys from few letters make prefixes, "=" and ";" frequent, and with them the hard cases of the order.
func dataOf[V any](value *rapid.Generator[V]) *rapid.Generator[map[string]V] {
	return rapid.MapOfN(rapid.StringMatching(`[a1.=-]{1,3}`), value, 0, 5)
}

func texts() *rapid.Generator[map[string]string] {
	return dataOf(rapid.StringMatching(`[ab1;=]{0,4}`))
}

func binaries() *rapid.Generator[map[string][]byte] {
	return dataOf(rapid.SliceOfN(rapid.Byte(), 0, 4))
}

func TestSection5MarkerIsTheHashOfTheSortedLines(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		data, binary := texts().Draw(t, "data"), binaries().Draw(t, "binary")

		// Longer than one block, so that chunks have to join.
		binary["long"] = append(bytes.Repeat([]byte{0xfe, 1, 2}, rapid.IntRange(0, 4000).Draw(t, "length")), 7)
		data["longer"] = strings.Repeat("xyz", rapid.IntRange(0, 4000).Draw(t, "length"))

		lines := make([]string, 0, len(data)+len(binary))
		for k, v := range data {
			lines = append(lines, k+"="+v)
		}

		for k, v := range binary {
			lines = append(lines, k+"="+base64.StdEncoding.EncodeToString(v))
		}

		slices.Sort(lines)

		sum := sha1.Sum([]byte(strings.Join(lines, ";")))
		got := digest.OfConfigMap(configMap("a", data, binary)).Marker()

		if diff := cmp.Diff(hex.EncodeToString(sum[:]), got); diff != "" {
			t.Errorf("marker (-want +got):\n%s", diff)
		}
	})
}

func TestSection5ContentsThatShareAMarkerAreToldApart(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ one, other digest.Content }{
		"a value that looks like a second key": {
			digest.OfConfigMap(configMap("a", map[string]string{"a": "1;b=2"}, nil)),
			digest.OfConfigMap(configMap("a", map[string]string{"a": "1", "b": "2"}, nil)),
		},
		"base64 as text and as binary data": {
			digest.OfConfigMap(configMap("a", map[string]string{"k": "aGVsbG8="}, nil)),
			digest.OfConfigMap(configMap("a", nil, map[string][]byte{"k": []byte("hello")})),
		},
		"a ConfigMap and a Secret": {
			digest.OfConfigMap(configMap("a", map[string]string{"k": "v"}, nil)),
			digest.OfSecret(secret("a", map[string][]byte{"k": []byte("v")})),
		},
		"two Secrets": {
			digest.OfSecret(secret("a", map[string][]byte{"k": []byte("v")})),
			digest.OfSecret(secret("b", map[string][]byte{"k": []byte("v")})),
		},
		"an object's version that looks like a second object": {
			digest.OfPodStatus("ns", "c", []digest.Object{{ID: "a", Version: "1;b=2"}}),
			digest.OfPodStatus("ns", "c", []digest.Object{{ID: "a", Version: "1"}, {ID: "b", Version: "2"}}),
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if tc.one.Marker() != tc.other.Marker() {
				t.Error("the markers differ, so this case shows nothing")
			}

			if tc.one.Whole == tc.other.Whole {
				t.Error("the wholes are the same")
			}

			for _, key := range tc.one.Keys {
				if slices.Contains(tc.other.Keys, key) {
					t.Errorf("both have the same sum for key %s", key.Name)
				}
			}
		})
	}
}

func TestDifferentContentsHaveDifferentSums(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		data, other := texts().Draw(t, "data"), texts().Draw(t, "other data")
		binary, otherBinary := binaries().Draw(t, "binary"), binaries().Draw(t, "other binary")
		name, otherName := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), "a"

		same := name == otherName && maps.Equal(data, other) && maps.EqualFunc(binary, otherBinary, bytes.Equal)
		one := digest.OfConfigMap(configMap(name, data, binary))
		two := digest.OfConfigMap(configMap(otherName, other, otherBinary))

		if got := one.Whole == two.Whole; got != same {
			t.Errorf("equal sums: %t, equal contents: %t", got, same)
		}

		if one.Whole != digest.OfConfigMap(configMap(name, data, binary)).Whole {
			t.Error("the same contents gave two sums")
		}
	})
}

func TestKeysAreSortedByName(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		c := digest.OfConfigMap(configMap("a", texts().Draw(t, "data"), binaries().Draw(t, "binary")))

		byName := func(a, b digest.KeySum) int { return strings.Compare(a.Name, b.Name) }
		if !slices.IsSortedFunc(c.Keys, byName) {
			t.Errorf("keys out of order: %v", c.Keys)
		}
	})
}

func TestSelectSeesTheNamedKeysAlone(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		data := dataOf(rapid.SliceOfN(rapid.Byte(), 0, 2)).Draw(t, "data")
		key := rapid.StringMatching(`[a1.=-]{1,3}`)
		names := rapid.SliceOfN(key, 1, 4).Draw(t, "names")
		changed := key.Draw(t, "changed key")
		value := rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "new value")

		after := maps.Clone(data)
		after[changed] = value

		old, existed := data[changed]
		seen := slices.Contains(names, changed) && (!existed || !bytes.Equal(old, value))

		one, two := digest.OfSecret(secret("a", data)), digest.OfSecret(secret("a", after))
		if got := one.Select(names) != two.Select(names); got != seen {
			t.Errorf("selection changed: %t, a selected key changed: %t", got, seen)
		}

		shuffled := rapid.Permutation(append(slices.Clone(names), names[0])).Draw(t, "shuffled")
		if one.Select(names) != one.Select(shuffled) {
			t.Error("the order or the number of the names counts")
		}
	})
}

func TestSelect(t *testing.T) {
	t.Parallel()

	of := func(data map[string]string) digest.Content { return digest.OfConfigMap(configMap("a", data, nil)) }
	empty, absent := of(map[string]string{"a": ""}), of(map[string]string{"b": ""})

	if empty.Select([]string{"a"}) == absent.Select([]string{"a"}) {
		t.Error("a key that is there and empty is taken for an absent one")
	}

	if empty.Select(nil) != empty.Whole || empty.Select([]string{}) != empty.Whole {
		t.Error("no names do not select the whole")
	}

	if empty.Select([]string{"a"}) == empty.Whole {
		t.Error("a selection is taken for the whole")
	}

	// The source may go away altogether: then all of its keys are absent.
	if (digest.Content{}).Select([]string{"a"}) != absent.Select([]string{"a"}) {
		t.Error("a key is not absent alike from a source that is there and from one that is not")
	}

	both := digest.OfConfigMap(configMap("a", map[string]string{"k": "1"}, map[string][]byte{"k": []byte("2")}))
	text := digest.OfConfigMap(configMap("a", map[string]string{"k": "1"}, nil))

	if both.Select([]string{"k"}) == text.Select([]string{"k"}) {
		t.Error("of a key in data and binaryData only one is seen")
	}
}

func TestSection12PodsWithTheSameObjectsAgree(t *testing.T) {
	t.Parallel()

	one, two := digest.Object{ID: "a", Version: "1"}, digest.Object{ID: "b", Version: "1"}
	first := digest.OfPodStatus("ns", "class", []digest.Object{one, two})
	second := digest.OfPodStatus("ns", "class", []digest.Object{two, one})

	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the order of the objects counts (-first +second):\n%s", diff)
	}

	one.Version = "2"
	if rotated := digest.OfPodStatus("ns", "class", []digest.Object{one, two}); rotated.Whole == first.Whole {
		t.Error("a new version is not seen")
	}

	if other := digest.OfPodStatus("other", "class", []digest.Object{two, one}); other.Whole == first.Whole {
		t.Error("a class of another namespace is the same")
	}
}

func large() *corev1.Secret {
	data := map[string][]byte{}
	for _, key := range []string{"ca.crt", "tls.crt", "tls.key", "config.yaml"} {
		data[key] = bytes.Repeat([]byte(key), 2048)
	}

	return secret("large", data)
}

// Not parallel: it counts allocations.
func TestContentCostsAFewAllocationsHoweverLargeTheSource(t *testing.T) {
	certificates := large()
	text := configMap("a", map[string]string{"k": strings.Repeat("v", 1<<20)}, nil)

	for name, of := range map[string]func(){
		"Secret":    func() { digest.OfSecret(certificates) },
		"ConfigMap": func() { digest.OfConfigMap(text) },
	} {
		if got := testing.AllocsPerRun(10, of); got > 16 {
			t.Errorf("%s: %v allocations, want at most 16", name, got)
		}
	}
}

func BenchmarkOfSecret(b *testing.B) {
	s := large()

	b.ReportAllocs()

	for b.Loop() {
		digest.OfSecret(s)
	}
}

func BenchmarkOfConfigMap(b *testing.B) {
	cm := configMap("a", map[string]string{"a": strings.Repeat("v", 1<<13), "b": "2"}, nil)

	b.ReportAllocs()

	for b.Loop() {
		digest.OfConfigMap(cm)
	}
}

func BenchmarkSelect(b *testing.B) {
	c, names := digest.OfSecret(large()), []string{"tls.key", "tls.crt"}

	b.ReportAllocs()

	for b.Loop() {
		c.Select(names)
	}
}
