package ceph

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// global is the section that every daemon and client reads.
const global = "global"

// daemonTypes are the types of entities that have sections. A section is a type, or a type with the entity's name.
func daemonTypes() []string { return []string{"mon", "mgr", "osd", "mds", "client"} }

// locations are the levels of a CRUSH map. Ceph takes any other word too, and then the setting is dead.
func locations() []string {
	return []string{"host", "chassis", "rack", "row", "pdu", "pod", "room", "datacenter", "zone", "region", "root"}
}

// word is what names of entities and the values of masks are made of.
var word = regexp.MustCompile(`^[A-Za-z0-9._+@=~-]+$`)

// target is whom a setting is for.
type target struct {
	// section is global, a type, or a type with a name.
	section string
	// mask narrows the section, in the form in which the monitors write it; empty for none.
	mask string
}

// String is the one spelling that a target has.
func (t target) String() string {
	if t.mask == "" {
		return t.section
	}

	return t.section + "/" + t.mask
}

// kind is the type of the section, and name the entity's name in it or empty.
func (t target) kind() (kind, name string) {
	kind, name, _ = strings.Cut(t.section, ".")

	return kind, name
}

// parseTarget reads a target such as "global", "mon.a" or "osd/host:n1/class:ssd". The error completes a sentence that
// begins with the setting's name.
func parseTarget(who string) (target, error) {
	var section, location, class string

	for part := range strings.SplitSeq(who, "/") {
		into := &section

		switch level, _, masked := strings.Cut(part, ":"); {
		case masked && level == "class":
			into = &class
		case masked:
			into = &location
		}

		if err := checkPart(part); err != nil {
			return target{}, err
		}

		if *into != "" {
			return target{}, fmt.Errorf("has a who that says %q and %q, of which there can be only one", *into, part)
		}

		*into = part
	}

	if section == "" {
		section = global
	}

	return target{section: section, mask: strings.Trim(location+"/"+class, "/")}, nil
}

func checkPart(part string) error {
	if level, value, masked := strings.Cut(part, ":"); masked {
		return checkMask(level, value)
	}

	if part == global {
		return nil
	}

	kind, name, named := strings.Cut(part, ".")

	switch {
	case strings.Contains(part, "*"):
		return fmt.Errorf("has who %q: Ceph knows no wildcards, the setting would be stored and never read; for all of a type say %q", part, kind)
	case !slices.Contains(daemonTypes(), kind):
		return fmt.Errorf("has who %q, which is no section: it is global, %s, one of these with a name such as mon.a or client.rgw.a, and a mask after a slash such as osd/class:ssd",
			part, strings.Join(daemonTypes(), ", "))
	case named && !word.MatchString(name):
		return fmt.Errorf("has who %q, in which a name is missing or has other characters than letters, digits and ._-+@=~", part)
	}

	return nil
}

func checkMask(level, value string) error {
	if level != "class" && !slices.Contains(locations(), level) {
		return fmt.Errorf("has the mask %q, which is no level of a CRUSH map: it is class, %s", level, strings.Join(locations(), ", "))
	}

	if !word.MatchString(value) {
		return fmt.Errorf("has the mask %q without a value, or with other characters than letters, digits and ._-+@=~ in it", level)
	}

	return nil
}

// managerModule begins the name of an option of a manager's module.
const managerModule = "mgr/"

// Normalise returns the one spelling of a setting that Ceph has for it, so that two spellings are one setting: no
// section is "global", the parts of a mask have their order, and dashes and blanks in the name are underscores. What is
// wrong stays as it is, for Read to say.
func Normalise(s live.Setting) live.Setting {
	if s.Who == "" {
		s.Who = global
	}

	if t, err := parseTarget(s.Who); err == nil {
		s.Who = t.String()
	}

	s.Name = strings.TrimSpace(s.Name)
	if !strings.HasPrefix(s.Name, managerModule) {
		s.Name = strings.NewReplacer("-", "_", " ", "_").Replace(s.Name)
	}

	return s
}

// optionName is what a name of an option is made of.
var optionName = regexp.MustCompile(`^[A-Za-z0-9_./:-]+$`)

// checkName refuses what cannot be an option before it is part of a command.
func checkName(name string) error {
	if !optionName.MatchString(name) {
		return errors.New("is no name of an option: they have letters, digits and underscores")
	}

	return nil
}
