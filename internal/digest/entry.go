package digest

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // the compatible marker is a SHA-1; no decision rests on it
	"encoding/base64"
	"hash"
	"slices"
	"strings"
)

// form tells how an entry's value is held, and so which part of the source it comes from.
type form string

const (
	formText    form = "text"    // a string: ConfigMap data
	formRaw     form = "raw"     // bytes taken as they are: Secret data
	formEncoded form = "encoded" // bytes that the compatible hash takes in base64: ConfigMap binaryData
)

// entry is one key with its value, borrowed from the source. text is set for formText, raw for the others.
type entry struct {
	key  string
	form form
	text string
	raw  []byte
}

// compareKey orders entries by key. The rest only makes the order total.
func (it entry) compareKey(other entry) int {
	return cmp.Or(
		cmp.Compare(it.key, other.key),
		cmp.Compare(it.form, other.form),
		cmp.Compare(it.text, other.text),
		bytes.Compare(it.raw, other.raw),
	)
}

func (it entry) encode(e *encoder) {
	e.text(it.key)
	e.text(string(it.form))

	if it.form == formText {
		e.text(it.text)
	} else {
		e.bytes(it.raw)
	}
}

// compareLine orders entries by their line key=value, without writing the lines out: that order is not the
// order of the keys, since digits, "-" and "." come before "=".
func (it entry) compareLine(other entry) int {
	if strings.HasPrefix(other.key, it.key) || strings.HasPrefix(it.key, other.key) {
		return it.compareOverlapping(other)
	}

	return cmp.Compare(it.key, other.key)
}

// compareOverlapping is compareLine when one key begins with the other, or equals it.
func (it entry) compareOverlapping(other entry) int {
	n := min(len(it.key), len(other.key))
	next, otherNext := byte('='), byte('=')

	if n < len(it.key) {
		next = it.key[n]
	}

	if n < len(other.key) {
		otherNext = other.key[n]
	}

	if next != otherNext {
		return cmp.Compare(next, otherNext)
	}

	// Only objects that no API server would accept come here: a key twice, or a key with "=" in it.
	return cmp.Compare(it.line(), other.line())
}

func (it entry) line() string {
	switch it.form {
	case formText:
		return it.key + "=" + it.text
	case formRaw:
		return it.key + "=" + string(it.raw)
	case formEncoded:
		return it.key + "=" + base64.StdEncoding.EncodeToString(it.raw)
	}

	return it.key
}

// compatible is the hash that existing tools write: the SHA-1 of the sorted lines, joined with ";".
// It sorts the entries in place.
func compatible(entries []entry, block []byte) [sha1.Size]byte {
	slices.SortFunc(entries, entry.compareLine)

	h := sha1.New() //nolint:gosec // see the import

	for i, it := range entries {
		if i > 0 {
			writeString(h, block, ";")
		}

		it.writeLine(h, block)
	}

	return [sha1.Size]byte(h.Sum(block[:0]))
}

func (it entry) writeLine(h hash.Hash, block []byte) {
	writeString(h, block, it.key)
	writeString(h, block, "=")

	switch it.form {
	case formText:
		writeString(h, block, it.text)
	case formRaw:
		h.Write(it.raw)
	case formEncoded:
		// Groups of three bytes become four characters, so only the last chunk may be padded.
		for chunk := range slices.Chunk(it.raw, blockSize/4*3) {
			h.Write(base64.StdEncoding.AppendEncode(block[:0], chunk))
		}
	}
}
