package postgres

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The example of RFC 7677.
func TestAVerifierIsTheOneOfTheStandard(t *testing.T) {
	t.Parallel()

	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

	got, err := verifierOf("pencil", []byte("\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"), iterations)
	if err != nil || got != want {
		t.Errorf("got %s and %v, want %s", got, err, want)
	}
}

func TestAVerifierIsComparedWithThePassword(t *testing.T) {
	t.Parallel()

	const password = "correct horse"

	made, err := verifierOf(password, []byte("salt"), 5)
	if err != nil {
		t.Fatal(err)
	}

	const md5 = "md5bb7ee6d1ecd3833b22f45f3e660e8588" // printf 'correct horser' | md5sum

	cases := map[string]struct {
		have, want string
		same       bool
	}{
		"the password":                      {made, password, true},
		"another password":                  {made, password + "!", false},
		"the verifier itself, to come back": {made, made, true},
		"another verifier":                  {made, strings.Replace(made, "$5:", "$6:", 1), false},
		"a verifier of too many iterations": {strings.Replace(made, "$5:", "$100000000:", 1), password, false},
		"no verifier":                       {"whatever", password, false},
		"the password, as md5":              {md5, password, true},
		"another password, as md5":          {md5, password + "!", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := (passwordRule{role: "r"}).Same(test.have, test.want); got != test.same {
				t.Errorf("got %t, want %t", got, test.same)
			}
		})
	}
}

func TestOnlyTheFormOfAVerifierIsOne(t *testing.T) {
	t.Parallel()

	good, err := verifierOf("p", []byte("0123456789abcdef"), iterations)
	if err != nil {
		t.Fatal(err)
	}

	for name, text := range map[string]string{
		"nothing":                  "",
		"a password":               "SCRAM-SHA-256",
		"a short key":              good[:len(good)-5] + "=",
		"no iterations":            strings.Replace(good, "4096", "0", 1),
		"an odd salt":              strings.Replace(good, "MDEy", "MD", 1),
		"something before":         " " + good,
		"something after":          good + " ",
		"a line break after":       good + "\n",
		"another mechanism":        strings.Replace(good, "SHA-256", "SHA-512", 1),
		"md5 in capital letters":   "md5" + strings.Repeat("0A", 16),
		"md5 that is too long":     "md5" + strings.Repeat("0a", 17),
		"one longer than is taken": strings.Replace(good, "MDEy", strings.Repeat("MDEy", 200), 1),
	} {
		if isVerifier(text) {
			t.Errorf("%s counts as a verifier", name)
		}
	}

	if !isVerifier(good) || !isVerifier("md5"+strings.Repeat("0a", 16)) {
		t.Error("a verifier does not count as one")
	}
}

func TestAPasswordIsOneThatAllClientsSendTheSameWay(t *testing.T) {
	t.Parallel()

	for text, accepted := range map[string]bool{
		"plain": true, "with 'quotes' and \\": true, "tab\tand\x01control": true, "Käse": true, "пароль": true, "סיסמה": true, "🔑": true,
		"": false, "a\x00b": false, "a\xffb": false, "no-break\u00a0space": false, "soft\u00adhyphen": false, "ﬁ": false, "e\u0301": false, "\ufe0f": false,
		"zero\u200bwidth": false,
	} {
		if err := (passwordRule{}).Check(text); (err == nil) != accepted {
			t.Errorf("%q: got %v, want accepted: %t", text, err, accepted)
		}
	}
}

func FuzzAnUnambiguousPasswordIsLeftAsItIs(f *testing.F) {
	f.Add("Käse")
	f.Add("e\u0301")
	f.Fuzz(func(t *testing.T, text string) {
		if (passwordRule{}).Check(text) != nil {
			return
		}

		// What SASLprep does to a text: RFC 4013, section 2.
		prepared := strings.Map(func(r rune) rune {
			switch {
			case r > unicode.MaxASCII && unicode.Is(unicode.Zs, r):
				return ' '
			case mappedToNothing(r):
				return -1
			default:
				return r
			}
		}, text)

		if norm.NFKC.String(prepared) != text {
			t.Errorf("%q is %q to a client", text, norm.NFKC.String(prepared))
		}
	})
}
