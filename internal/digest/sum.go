package digest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
)

// Sum is a fingerprint: the first 128 bits of a SHA-256 over an encoding in which every part is preceded by
// its length. The zero Sum is that of nothing at all: no content has it.
type Sum [16]byte

// String is the sum in unpadded URL-safe base64, always 22 characters.
func (s Sum) String() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

// IsZero tells whether this is the zero Sum, which stands for "not known".
func (s Sum) IsZero() bool { return s == Sum{} }

// MarshalText is [Sum.String] for encoders.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is [ParseSum] for decoders.
func (s *Sum) UnmarshalText(text []byte) error {
	parsed, err := ParseSum(string(text))
	if err != nil {
		return err
	}

	*s = parsed

	return nil
}

// ParseSum reads what [Sum.String] wrote. It accepts exactly one spelling of every sum, so that equal text
// and equal sums are the same thing.
func ParseSum(text string) (Sum, error) {
	var s Sum

	encoding := base64.RawURLEncoding.Strict()
	if len(text) != encoding.EncodedLen(len(s)) {
		return Sum{}, fmt.Errorf("parse digest: %d characters, want %d", len(text), encoding.EncodedLen(len(s)))
	}

	// Decoding skips line breaks, so a text of the right length may still hold too little.
	n, err := encoding.Decode(s[:], []byte(text))
	if err != nil {
		return Sum{}, fmt.Errorf("parse digest: %w", err)
	}

	if n != len(s) {
		return Sum{}, fmt.Errorf("parse digest: %d bytes, want %d", n, len(s))
	}

	return s, nil
}

// What a Sum was taken of. It opens the encoding, so that one cannot be taken for another.
const (
	ofWhole     = "whole"
	ofKey       = "key"
	ofSelection = "selection"
)

// blockSize is how much of a string is copied at a time on its way into a hash. A multiple of 4, so that base64 fills it exactly.
const blockSize = 4096

// nameBlockSize does for names.
const nameBlockSize = 256

// encoder writes parts, each with its length before it, into one SHA-256 after another.
// Its buffers are reused, so that a source costs the same few allocations however many keys it has.
type encoder struct {
	hash  hash.Hash
	block []byte
	out   []byte
}

func newEncoder(block []byte) *encoder {
	return &encoder{hash: sha256.New(), block: block, out: make([]byte, 0, sha256.Size)}
}

func (e *encoder) begin(what string) {
	e.hash.Reset()
	e.text(what)
}

func (e *encoder) number(n int) {
	e.hash.Write(binary.AppendUvarint(e.block[:0], uint64(max(n, 0))))
}

func (e *encoder) text(s string) {
	e.number(len(s))
	writeString(e.hash, e.block, s)
}

func (e *encoder) bytes(b []byte) {
	e.number(len(b))
	e.hash.Write(b)
}

func (e *encoder) sum() Sum {
	return Sum(e.hash.Sum(e.out[:0])[:len(Sum{})])
}

// writeString feeds a string to a hash through block: converting it would copy a whole value, and leave that
// copy of a secret on the heap.
func writeString(h hash.Hash, block []byte, s string) {
	for len(s) > 0 {
		n := copy(block, s)
		h.Write(block[:n])
		s = s[n:]
	}
}
