package ceph

import (
	"fmt"
	"regexp"
	"strings"
)

// Grant is what an entity may set and unset. The zero Grant is everything, and one thing more: who may set every option of
// every section may also override it in a running daemon, because Ceph calls both commands by one name.
type Grant struct {
	// Who is a section such as "global" or "client.rgw.store.a", as [Normalise] writes it; with WhoPrefix the beginning of
	// sections. Empty for every section.
	Who       string
	WhoPrefix bool
	// Name of an option, or with NamePrefix the beginning of names. Empty for every option.
	Name       string
	NamePrefix bool
}

// Caps renders the capabilities for the monitors that a session needs to read everything and to change what is granted.
// With observe the running monitors can be asked too, also for who is connected to them. What is granted cannot be anything else: no other command, no log
// of changes, no keys. The error names a text that cannot be part of capabilities.
func Caps(grants []Grant, observe bool) (string, error) {
	commands := []string{"config dump", "config help", "version"}
	if observe {
		commands = append(commands, "mon dump", "config diff", "sessions")
	}

	var caps []string

	for _, command := range commands {
		caps = append(caps, fmt.Sprintf(`allow command "%s"`, command))
	}

	for _, grant := range grants {
		with, err := grant.with()
		if err != nil {
			return "", err
		}

		for _, command := range []string{"config set", "config rm"} {
			caps = append(caps, fmt.Sprintf(`allow command "%s"%s`, command, with))
		}
	}

	return strings.Join(caps, ", "), nil
}

// capsText is what can be given in double quotes, and bareText what needs none.
var (
	capsText = regexp.MustCompile(`^[A-Za-z0-9._+@=~:/-]+$`)
	bareText = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)
)

func (g Grant) with() (string, error) {
	var conditions []string

	for _, argument := range []struct {
		key, text string
		prefix    bool
	}{{"who", g.Who, g.WhoPrefix}, {"name", g.Name, g.NamePrefix}} {
		if argument.text == "" {
			continue
		}

		if !capsText.MatchString(argument.text) {
			return "", fmt.Errorf("%s %q has a character that capabilities cannot have", argument.key, argument.text)
		}

		conditions = append(conditions, condition(argument.key, argument.text, argument.prefix))
	}

	if len(conditions) == 0 {
		return "", nil
	}

	return " with " + strings.Join(conditions, " "), nil
}

func condition(key, text string, prefix bool) string {
	if !bareText.MatchString(text) {
		text = `"` + text + `"`
	}

	if prefix {
		return key + " prefix " + text
	}

	return key + "=" + text
}

// allow is the capability for one command on one option.
func allow(command, who, name string) string {
	return fmt.Sprintf(`allow command "%s" with %s %s`, command, condition("who", who, false), condition("name", name, false))
}
