package ceph

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	dashedUUID = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	plainUUID  = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)
)

// readUUID returns a UUID in small letters without dashes.
func readUUID(text string) (string, error) {
	if !dashedUUID.MatchString(text) && !plainUUID.MatchString(text) {
		return "", errors.New("has to be a UUID such as 62a1b379-c19f-4e69-b4e5-6f1fb8791f57")
	}

	return strings.ToLower(strings.ReplaceAll(text, "-", "")), nil
}

// blankAddress is what Ceph writes for no address.
const blankAddress = "-"

// readAddress returns an address as Ceph stores it: v2:10.0.0.1:6789/0.
func readAddress(text string) (string, error) {
	wrong := errors.New("has to be an IP address, with a port if need be, such as 10.0.0.1, v2:10.0.0.1:3300/0 or v1:[2001:db8::1]:6789")

	if text == blankAddress {
		return text, nil
	}

	protocol := "v2:"

	for _, known := range []string{"v1:", "v2:"} {
		if rest, found := strings.CutPrefix(text, known); found {
			protocol, text = known, rest

			break
		}
	}

	host, nonce, _ := strings.Cut(text, "/")
	if nonce == "" {
		nonce = "0"
	}

	number, err := strconv.ParseUint(nonce, 10, 32)
	if err != nil {
		return "", wrong
	}

	address, err := addressAndPort(host)
	if err != nil || address.Addr().Is4In6() || address.Addr().Zone() != "" {
		return "", wrong
	}

	return fmt.Sprintf("%s%s/%d", protocol, address, number), nil
}

func addressAndPort(host string) (netip.AddrPort, error) {
	if both, err := netip.ParseAddrPort(host); err == nil {
		return both, nil
	}

	if inner, found := strings.CutPrefix(host, "["); found && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
	}

	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, errors.New("no address")
	}

	return netip.AddrPortFrom(address, 0), nil
}

// readAddresses returns one address, or several in brackets, as Ceph stores them.
func readAddresses(text string) (string, error) {
	inner, list := strings.CutPrefix(text, "[v")
	if !list || !strings.HasSuffix(inner, "]") {
		return readAddress(text)
	}

	var addresses []string

	for one := range strings.SplitSeq(strings.TrimSuffix("v"+inner, "]"), ",") {
		address, err := readAddress(one)
		if err != nil {
			return "", err
		}

		addresses = append(addresses, address)
	}

	if len(addresses) == 1 {
		return addresses[0], nil
	}

	return "[" + strings.Join(addresses, ",") + "]", nil
}

var logLevel = regexp.MustCompile(`^([0-9]{1,2})(?:/([0-9]{1,2}))?$`)

// readLogLevel returns the level of a log and of its memory: 5 is 5/5.
func readLogLevel(text string) (string, error) {
	match := logLevel.FindStringSubmatch(text)
	if match == nil {
		return "", errors.New("has to be a log level such as 5, or 1/5 with the level that is kept in memory, each from 0 to 99")
	}

	level, memory := match[1], match[2]
	if memory == "" {
		memory = level
	}

	return plain(level) + "/" + plain(memory), nil
}

// plain drops leading zeros.
func plain(digits string) string {
	if trimmed := strings.TrimLeft(digits, "0"); trimmed != "" {
		return trimmed
	}

	return "0"
}

// features are those of RBD images that can be given by name, each at the place of its bit.
func features() []string {
	return []string{"layering", "striping", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling", "data-pool"}
}

// readFeatures returns the number that stands for features given by name.
func readFeatures(text string) (string, error) {
	known := features()

	if number, err := strconv.ParseUint(text, 10, 64); err == nil && number < 1<<len(known) {
		return strconv.FormatUint(number, 10), nil
	}

	var bits uint64

	for name := range strings.SplitSeq(text, ",") {
		bit := slices.Index(known, strings.TrimSpace(name))
		// Ceph adds the bits up: a feature that is named twice would be another one.
		if bit < 0 || bits&(1<<bit) != 0 {
			return "", fmt.Errorf("has to be a list, each once, of %s; or the number that stands for them", strings.Join(known, ", "))
		}

		bits |= 1 << bit
	}

	return strconv.FormatUint(bits, 10), nil
}

// readPool takes the name of a pool. Ceph replaces one that it does not like by "rbd".
func readPool(text string) (string, error) {
	if text == "" {
		return "", errors.New("has to be the name of a pool")
	}

	return readNoPool(text)
}

// readNoPool takes the name of a pool, or none.
func readNoPool(text string) (string, error) {
	if strings.ContainsAny(text, "/@") {
		return "", errors.New("has to be the name of a pool, without / and @")
	}

	return readText(text)
}
