package rook

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Where Rook lists the monitors of the cluster in a namespace.
const (
	// MonitorsConfigMap is the name of the ConfigMap.
	MonitorsConfigMap = "rook-ceph-mon-endpoints"
	// monitorsKey has the list; the other keys are about names and nodes.
	monitorsKey = "data"
)

// The ports on which monitors speak the two versions of their protocol.
const (
	portV1 = 6789
	portV2 = 3300
)

// maxEndpoints is what a LiveStore can hold.
const maxEndpoints = 64

// Monitors are where the monitors of a cluster listen. It is never changed once it is read.
type Monitors struct {
	// Endpoints in the form of a LiveStore, by the names of the monitors: Rook writes them in any order.
	Endpoints []string
	// Unreadable are the parts of the list that are left out.
	Unreadable []string
}

// ReadMonitors reads the data of [MonitorsConfigMap], in which the list is like "a=10.0.0.1:6789,b=10.0.0.2:3300".
func ReadMonitors(data map[string]string) *Monitors {
	found, m := map[string]string{}, &Monitors{}

	for item := range strings.SplitSeq(data[monitorsKey], ",") {
		item = strings.TrimSpace(item)
		name, address, named := strings.Cut(item, "=")

		switch endpoint := endpointOf(address); {
		case item == "":
		case !named || name == "" || endpoint == "":
			m.Unreadable = append(m.Unreadable, item)
		default:
			found[name] = endpoint
		}
	}

	for _, name := range slices.Sorted(maps.Keys(found)) {
		m.Endpoints = append(m.Endpoints, found[name])
	}

	m.Endpoints = m.Endpoints[:min(len(m.Endpoints), maxEndpoints)]
	slices.Sort(m.Unreadable)

	return m
}

// endpointOf returns an address as mon_host has it; empty for one that cannot be read. A monitor on the port of the first
// version also has the second, which is taken first. A host by name is none: Rook writes addresses, and librados takes no
// monitor at all from a list with both.
func endpointOf(address string) string {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}

	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return ""
	}

	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap()

	switch {
	case err != nil || ip.Zone() != "":
		return ""
	case port == portV1:
		return fmt.Sprintf("[v2:%s,v1:%s]", netip.AddrPortFrom(ip, portV2), netip.AddrPortFrom(ip, portV1))
	default:
		return fmt.Sprintf("[v2:%s]", netip.AddrPortFrom(ip, uint16(port)))
	}
}
