package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// noPassword is what is stored of a user that logs in with any password.
const noPassword = "nopass"

// digestForm is how the server writes the digest of a password.
var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// passwordRule is [live.Rule] of a user's password.
type passwordRule struct{}

// Check implements [live.Rule].
func (passwordRule) Check(text string) error {
	if text == "" {
		return errors.New("must not be empty")
	}

	return nil
}

// Same implements [live.Rule]: whether the wanted one is among those that are valid.
func (passwordRule) Same(have, want string) bool {
	return slices.Contains(strings.Fields(have), digest(want))
}

// digest is what the server keeps of a password.
func digest(password string) string {
	sum := sha256.Sum256([]byte(password))

	return hex.EncodeToString(sum[:])
}

// verifier is what is stored of a user's passwords; none if there is nothing to log in with.
func verifier(flags, digests []string) live.Value {
	switch {
	case slices.Contains(flags, noPassword):
		return live.Text(noPassword)
	case len(digests) == 0:
		return live.Value{}
	}
	digests = slices.Clone(digests)
	slices.Sort(digests)

	return live.Text(strings.Join(digests, " "))
}

// passwordRules are the rules of ACL SETUSER that make a change of a password. The error completes a sentence that begins
// with the setting's name.
func passwordRules(c live.Change) ([]string, error) {
	switch {
	case !c.To.Set:
		return []string{"resetpass"}, nil
	case c.Raw && c.To.Text == noPassword:
		return []string{noPassword}, nil
	case c.Raw:
		rules := []string{"resetpass"}
		for d := range strings.FieldsSeq(c.To.Text) {
			if !digestForm.MatchString(d) {
				return nil, errors.New("cannot be put back: what was recorded is not a list of digests")
			}
			rules = append(rules, "#"+d)
		}

		return rules, nil
	case c.Keep:
		return []string{"#" + digest(c.To.Text)}, nil
	default:
		return []string{"resetpass", "#" + digest(c.To.Text)}, nil
	}
}

// Rights says what a user of ours is for.
type Rights struct {
	// Passwords lets it change the passwords of users.
	Passwords bool
	// Persist lets it make the server keep what is set.
	Persist bool
	// Database lets it connect to a database by its number.
	Database bool
}

// SetUser returns the command that makes a user with these rights and no others, whose password is to be put in the place of
// PASSWORD. With INFO the user can see that the server has restarted; all else is needed.
func (r Rights) SetUser(name string) string {
	rules := []string{"ACL SETUSER", name, "reset on >PASSWORD +config|get +config|set +info"}
	if r.Persist {
		rules = append(rules, "+config|rewrite")
	}
	if r.Passwords {
		rules = append(rules, "+acl|getuser +acl|setuser +acl|list")
	}
	if r.Passwords && r.Persist {
		rules = append(rules, "+acl|save")
	}
	if r.Database {
		rules = append(rules, "+select")
	}

	return strings.Join(rules, " ")
}
