package digest

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // the compatible marker is a SHA-1; no decision rests on it
	"encoding/hex"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// DeletedMarker is written where [Content.Marker] would be, once the source is gone.
const DeletedMarker = "aae45badef99284e4dae01d6046154ea9d99532f"

// KeySum is the fingerprint of one key of a source.
type KeySum struct {
	Name string
	Sum  Sum
}

// Content is what is remembered of a source's contents. The zero Content is that of a source that is not there.
type Content struct {
	// Compatible is the hash that existing tools write; different contents can share it.
	Compatible [sha1.Size]byte
	// Whole is the fingerprint of the source with all its keys.
	Whole Sum
	// Keys holds one fingerprint for each key, sorted by name.
	Keys []KeySum
}

// Marker is the compatible hash in lower-case hex.
func (c Content) Marker() string { return hex.EncodeToString(c.Compatible[:]) }

// Select is the fingerprint of the named keys alone; of the whole when no name is given. Neither order nor
// repetition of the names counts. A key that is absent differs from one that is there and empty. Selections
// in which every named key is absent are alike for all sources.
func (c Content) Select(names []string) Sum {
	if len(names) == 0 {
		return c.Whole
	}

	names = slices.Compact(slices.Sorted(slices.Values(names)))
	e := newEncoder(make([]byte, nameBlockSize))
	e.begin(ofSelection)
	e.number(len(names))

	for _, name := range names {
		sums := c.named(name)
		e.text(name)
		e.number(len(sums))

		for _, key := range sums {
			e.bytes(key.Sum[:])
		}
	}

	return e.sum()
}

// named is the part of Keys with this name. The API server refuses a name in both data and binaryData, but an
// object need not have passed there.
func (c Content) named(name string) []KeySum {
	from, _ := slices.BinarySearchFunc(c.Keys, name, func(k KeySum, name string) int {
		return cmp.Compare(k.Name, name)
	})
	to := from

	for to < len(c.Keys) && c.Keys[to].Name == name {
		to++
	}

	return c.Keys[from:to]
}

// OfConfigMap is the content of a ConfigMap: its data and binaryData, and nothing else of it.
func OfConfigMap(cm *corev1.ConfigMap) Content {
	entries := make([]entry, 0, len(cm.Data)+len(cm.BinaryData))
	for key, value := range cm.Data {
		entries = append(entries, entry{key: key, form: formText, text: value})
	}

	for key, value := range cm.BinaryData {
		entries = append(entries, entry{key: key, form: formEncoded, raw: value})
	}

	return contentOf(identity{"ConfigMap", cm.Namespace, cm.Name}, entries, nil)
}

// OfSecret is the content of a Secret: its data, and nothing else of it.
func OfSecret(s *corev1.Secret) Content {
	entries := make([]entry, 0, len(s.Data))
	for key, value := range s.Data {
		entries = append(entries, entry{key: key, form: formRaw, raw: value})
	}

	return contentOf(identity{"Secret", s.Namespace, s.Name}, entries, nil)
}

// Object is one object that a secrets store has mounted into a pod.
type Object struct {
	ID      string
	Version string
}

// OfPodStatus is the content of a SecretProviderClass as one pod has it mounted: the versions of its objects.
// The pod itself does not count, so that all pods with the same versions agree.
func OfPodStatus(namespace, class string, objects []Object) Content {
	entries := make([]entry, 0, len(objects))
	for _, o := range objects {
		entries = append(entries, entry{key: o.ID, form: formText, text: o.Version})
	}

	// The class takes part in the compatible hash as if it were one more object; for us it is the source's name.
	line := &entry{key: "SecretProviderClassName", form: formText, text: class}

	return contentOf(identity{"SecretProviderClass", namespace, class}, entries, line)
}

// identity is the source that a content belongs to.
type identity struct{ kind, namespace, name string }

// contentOf takes all fingerprints. extra, if any, counts in the compatible hash alone.
func contentOf(id identity, entries []entry, extra *entry) Content {
	block := make([]byte, blockSize)
	e := newEncoder(block)

	slices.SortFunc(entries, entry.compareKey)

	keys := make([]KeySum, 0, len(entries))
	for _, it := range entries {
		e.begin(ofKey)
		id.encode(e)
		it.encode(e)
		keys = append(keys, KeySum{Name: it.key, Sum: e.sum()})
	}

	// The whole is taken over the sums of the keys: each value is read once.
	e.begin(ofWhole)
	id.encode(e)
	e.number(len(keys))

	for _, key := range keys {
		e.text(key.Name)
		e.bytes(key.Sum[:])
	}

	c := Content{Whole: e.sum(), Keys: keys}

	if extra != nil {
		entries = append(entries, *extra)
	}

	c.Compatible = compatible(entries, block)

	return c
}

func (id identity) encode(e *encoder) {
	e.text(id.kind)
	e.text(id.namespace)
	e.text(id.name)
}
