package mysql

import (
	"crypto/sha1" //nolint:gosec // it is what the server's verifiers are made of
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"filippo.io/edwards25519"
)

// The plugins by which people log in with a password, and of which a verifier can be made without the server.
const (
	pluginNative  = "mysql_native_password"
	pluginEd25519 = "ed25519"
)

var (
	nativeForm  = regexp.MustCompile(`^\*[0-9A-F]{40}$`)
	ed25519Form = regexp.MustCompile(`^[A-Za-z0-9+/]{43}$`)
)

// way is one way to log in to an account: a plugin, and what it compares with.
type way struct{ plugin, with string }

// password says whether it is a way with a password that is set and that we can make a verifier for.
func (w way) password() bool {
	switch w.plugin {
	case pluginNative:
		return nativeForm.MatchString(w.with)
	case pluginEd25519:
		return ed25519Form.MatchString(w.with)
	default:
		return false
	}
}

// keyless says whether it is a way without a password, which stays whatever becomes of the password.
func (w way) keyless() bool {
	return slices.Contains([]string{"unix_socket", "pam", "gssapi", "named_pipe"}, w.plugin)
}

// known says whether we know what becomes of it when the password changes.
func (w way) known() bool {
	return w.plugin == pluginNative || w.plugin == pluginEd25519 || w.keyless()
}

// ways are those to log in to one account, in the order in which the server tries them.
type ways []way

// String is the ways in SQL, as they are stored: "mysql_native_password USING '*…' OR unix_socket".
func (all ways) String() string {
	parts := make([]string, len(all))
	for i, w := range all {
		parts[i] = w.plugin
		if w.with != "" {
			parts[i] += " USING " + quoted(w.with)
		}
	}

	return strings.Join(parts, " OR ")
}

// wayForm is one of the ways that String has written. A text with a backslash is none that is read back.
var wayForm = regexp.MustCompile(`^([a-z][a-z0-9_]{0,63})(?: USING '((?:[^'\\]|'')*)')?(?: OR |$)`)

var errWays = errors.New("is not stored in a form that can be put back")

// parseWays reads what String has written.
func parseWays(text string) (ways, error) {
	var all ways
	for text != "" {
		m := wayForm.FindStringSubmatch(text)
		if m == nil {
			return nil, errWays
		}
		w := way{m[1], strings.ReplaceAll(m[2], "''", "'")}
		if !w.known() {
			return nil, errWays
		}
		all = append(all, w)
		rest := text[len(m[0]):]
		if rest == "" && strings.HasSuffix(m[0], " OR ") {
			return nil, errWays
		}
		text = rest
	}
	if len(all) == 0 {
		return nil, errWays
	}

	return all, nil
}

// privilegeRow is a row of mysql.global_priv, as far as it tells how to log in.
type privilegeRow struct {
	Plugin string            `json:"plugin"`
	With   string            `json:"authentication_string"`
	Or     []json.RawMessage `json:"auth_or"`
	Role   bool              `json:"is_role"`
}

// readWays reads a row of mysql.global_priv. The error has nothing of the row in it.
func readWays(row []byte) (all ways, role bool, err error) {
	var r privilegeRow
	if err := json.Unmarshal(row, &r); err != nil {
		return nil, false, errors.New("mysql.global_priv has a row that is not understood")
	}
	main := way{r.Plugin, r.With}
	if main.plugin == "" {
		main.plugin = pluginNative // as in the rows that the server itself makes first
	}
	if len(r.Or) == 0 {
		return ways{main}, r.Role, nil
	}
	for _, item := range r.Or {
		var other privilegeRow
		if err := json.Unmarshal(item, &other); err != nil {
			return nil, false, errors.New("mysql.global_priv has a row that is not understood")
		}
		w := way{other.Plugin, other.With}
		if w.plugin == "" {
			w = main // an empty item stands where the main way is tried
		}
		all = append(all, w)
	}

	return all, r.Role, nil
}

// verifier makes from a password what a plugin compares with.
func verifier(plugin, password string) (way, error) {
	if plugin == pluginEd25519 {
		sum := sha512.Sum512([]byte(password))
		scalar, err := edwards25519.NewScalar().SetBytesWithClamping(sum[:32])
		if err != nil {
			return way{}, fmt.Errorf("make the verifier of a password: %w", err)
		}
		key := new(edwards25519.Point).ScalarBaseMult(scalar).Bytes()

		return way{pluginEd25519, base64.RawStdEncoding.EncodeToString(key)}, nil
	}
	once := sha1.Sum([]byte(password)) //nolint:gosec // as the server does it
	twice := sha1.Sum(once[:])         //nolint:gosec // as the server does it

	return way{pluginNative, "*" + strings.ToUpper(hex.EncodeToString(twice[:]))}, nil
}

// with returns the ways of the account with the password as the first. keep lets the password that was the first be the
// second. Ways without a password stay, behind.
//
// There are never more than two passwords: a client logs in with the third only by being asked a third time, which the
// drivers for Go, among others, do not take part in. The plugin stays what it was, lest an account become weaker.
func (all ways) with(password string, keep bool) (ways, error) {
	plugin := pluginNative
	if i := slices.IndexFunc(all, way.password); i >= 0 {
		plugin = all[i].plugin
	}
	first, err := verifier(plugin, password)
	if err != nil {
		return nil, err
	}
	next := ways{first}
	former := slices.IndexFunc(all, func(w way) bool { return w.password() && w != first })
	if keep && former >= 0 {
		next = append(next, all[former])
	}
	for _, w := range all {
		if w.keyless() {
			next = append(next, w)
		}
	}

	return next, nil
}

// accept says whether the password is one of the account's.
func (all ways) accept(password string) bool {
	return slices.ContainsFunc(all, func(w way) bool {
		if !w.password() {
			return false
		}
		same, err := verifier(w.plugin, password)

		return err == nil && same == w
	})
}

// secret is the rule of passwords.
type secret struct{}

// Check refuses only what lets everybody in.
func (secret) Check(text string) error {
	if text == "" {
		return errors.New("takes any text but an empty one")
	}

	return nil
}

// Same says whether the password is one of those that are stored.
func (secret) Same(have, want string) bool {
	all, err := parseWays(have)

	return err == nil && all.accept(want)
}
