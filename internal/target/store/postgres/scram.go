package postgres

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // it is what the server stores when it is told so; we only compare
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	// iterations and saltBytes are those of the server itself.
	iterations = 4096
	saltBytes  = 16
	// mostIterations bounds what a comparison may cost: about a quarter of a second.
	mostIterations = 1_000_000
	// longestVerifier is the longest that the server stores.
	longestVerifier = 512
)

var (
	scramText = regexp.MustCompile(`^SCRAM-SHA-256\$([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$`)
	md5Text   = regexp.MustCompile(`^md5[0-9a-f]{32}$`)
)

// scram is a SCRAM-SHA-256 verifier taken apart.
type scram struct {
	iterations                 int
	salt, storedKey, serverKey []byte
}

func parseSCRAM(text string) (scram, bool) {
	match := scramText.FindStringSubmatch(text)
	if match == nil || len(text) > longestVerifier {
		return scram{}, false
	}

	n, err := strconv.Atoi(match[1])
	if err != nil {
		return scram{}, false
	}

	var parts [3][]byte

	for i, part := range match[2:] {
		if parts[i], err = base64.StdEncoding.Strict().DecodeString(part); err != nil {
			return scram{}, false
		}
	}

	return scram{iterations: n, salt: parts[0], storedKey: parts[1], serverKey: parts[2]}, true
}

// isVerifier says whether the server takes a text for a verifier rather than for a password. It is not laxer than the
// server.
func isVerifier(text string) bool {
	_, ok := parseSCRAM(text)

	return ok || md5Text.MatchString(text)
}

// deriveKeys makes the two keys of a verifier from a password: RFC 5802, section 3.
func deriveKeys(password string, salt []byte, n int) (stored, server []byte, err error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, n, sha256.Size)
	if err != nil {
		return nil, nil, fmt.Errorf("derive the verifier: %w", err)
	}

	sum := sha256.Sum256(keyed(salted, "Client Key"))

	return sum[:], keyed(salted, "Server Key"), nil
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))

	return h.Sum(nil)
}

// verifierOf makes the verifier of a password that [passwordRule] accepts.
func verifierOf(password string, salt []byte, n int) (string, error) {
	stored, server, err := deriveKeys(password, salt, n)
	if err != nil {
		return "", err
	}

	encode := base64.StdEncoding.EncodeToString

	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", n, encode(salt), encode(stored), encode(server)), nil
}

// verifies says whether a verifier is one of the role's password.
func verifies(verifier, role, password string) bool {
	if md5Text.MatchString(verifier) {
		sum := md5.Sum([]byte(password + role)) //nolint:gosec // see the import

		return subtle.ConstantTimeCompare([]byte(verifier), []byte("md5"+hex.EncodeToString(sum[:]))) == 1
	}

	v, ok := parseSCRAM(verifier)
	if !ok || v.iterations > mostIterations {
		return false
	}

	stored, server, err := deriveKeys(password, v.salt, v.iterations)

	return err == nil && subtle.ConstantTimeCompare(stored, v.storedKey)&subtle.ConstantTimeCompare(server, v.serverKey) == 1
}

// passwordRule is what is accepted as the password of a role.
type passwordRule struct{ role string }

// Check says why a text cannot be the password.
func (r passwordRule) Check(text string) error {
	switch {
	case text == "":
		return errors.New("must not be empty: the server would let nobody in")
	case isVerifier(text):
		return errors.New("takes the password itself, not the verifier that the server stores")
	case sendable(text) != nil:
		return sendable(text)
	case !unambiguous(text):
		return errors.New("takes no characters that clients write in more than one way (SASLprep), such as blanks other than the usual one")
	default:
		return nil
	}
}

// Same says whether the verifier that is stored is one of the wanted password, or is itself what is wanted: when a
// former verifier is put back. No password looks like a verifier.
func (r passwordRule) Same(have, want string) bool {
	if isVerifier(want) {
		return have == want
	}

	return verifies(have, r.role, want)
}

// unambiguous says whether SASLprep leaves a password as it is. The server and all clients go by the text itself then,
// also where SASLprep forbids it: they all fall back to it.
func unambiguous(password string) bool {
	for _, r := range password {
		if r > unicode.MaxASCII && (unicode.Is(unicode.Zs, r) || mappedToNothing(r)) {
			return false
		}
	}

	return norm.NFKC.IsNormalString(password)
}

// mappedToNothing are the characters that SASLprep drops: RFC 3454, table B.1.
func mappedToNothing(r rune) bool {
	switch r {
	case 0x00AD, 0x034F, 0x1806, 0x180B, 0x180C, 0x180D, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF:
		return true
	default:
		return r >= 0xFE00 && r <= 0xFE0F
	}
}
