package rook

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestReadMonitors(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		list string
		want Monitors
	}{
		"both versions of the protocol on the port of the first": {
			list: "a=10.0.0.1:6789", want: Monitors{Endpoints: []string{"[v2:10.0.0.1:3300,v1:10.0.0.1:6789]"}},
		},
		"the second version alone on its own port": {
			list: "a=10.0.0.1:3300", want: Monitors{Endpoints: []string{"[v2:10.0.0.1:3300]"}},
		},
		"the second version on any other port": {
			list: "a=10.0.0.1:40001", want: Monitors{Endpoints: []string{"[v2:10.0.0.1:40001]"}},
		},
		"IPv6": {
			list: "a=[2001:db8::1]:6789,b=[2001:db8::2]:3300",
			want: Monitors{Endpoints: []string{"[v2:[2001:db8::1]:3300,v1:[2001:db8::1]:6789]", "[v2:[2001:db8::2]:3300]"}},
		},
		"a host by name would spoil the others": {
			list: "a=mon-a.example.com:6789,b=10.0.0.2:3300",
			want: Monitors{Endpoints: []string{"[v2:10.0.0.2:3300]"}, Unreadable: []string{"a=mon-a.example.com:6789"}},
		},
		"the order is that of the names": {
			list: "c=10.0.0.3:3300,a=10.0.0.1:3300,b=10.0.0.2:3300",
			want: Monitors{Endpoints: []string{"[v2:10.0.0.1:3300]", "[v2:10.0.0.2:3300]", "[v2:10.0.0.3:3300]"}},
		},
		"an external cluster names monitors after hosts": {
			list: "ceph-node1.local=10.0.210.83:6789", want: Monitors{Endpoints: []string{"[v2:10.0.210.83:3300,v1:10.0.210.83:6789]"}},
		},
		"blanks and empty parts": {
			list: " a=10.0.0.1:3300 , ,", want: Monitors{Endpoints: []string{"[v2:10.0.0.1:3300]"}},
		},
		"nothing": {},
		"parts that cannot be read are left out alone": {
			list: "z,a=10.0.0.1,b=10.0.0.2:x,c=10.0.0.3:0,d=10.0.0.4:70000,=10.0.0.5:3300,f=[fe80::1%eth0]:3300,g=10.0.0:3300,h=:3300,i=10.0.0.9:3300",
			want: Monitors{
				Endpoints: []string{"[v2:10.0.0.9:3300]"},
				Unreadable: []string{
					"=10.0.0.5:3300", "a=10.0.0.1", "b=10.0.0.2:x", "c=10.0.0.3:0", "d=10.0.0.4:70000", "f=[fe80::1%eth0]:3300",
					"g=10.0.0:3300", "h=:3300", "z",
				},
			},
		},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := ReadMonitors(map[string]string{"data": test.list, "mapping": "{}", "maxMonId": "2"})
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMoreMonitorsThanAStoreHolds(t *testing.T) {
	t.Parallel()

	var list []string
	for i := range maxEndpoints + 1 {
		list = append(list, fmt.Sprintf("m%03d=10.0.0.%d:3300", i, i))
	}

	if got := ReadMonitors(map[string]string{"data": strings.Join(list, ",")}); len(got.Endpoints) != maxEndpoints {
		t.Errorf("%d endpoints, want %d", len(got.Endpoints), maxEndpoints)
	}
}

// Every address that Rook can write comes out as itself.
func TestAnyAddressIsRead(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 4, 4), rapid.SliceOfN(rapid.Byte(), 16, 16)).Draw(t, "address")
		ip, _ := netip.AddrFromSlice(bytes)
		address := netip.AddrPortFrom(ip, rapid.Uint16Min(1).Draw(t, "port"))
		got := ReadMonitors(map[string]string{"data": "a=" + address.String()})

		if len(got.Endpoints) != 1 || len(got.Unreadable) != 0 {
			t.Fatalf("%s gives %+v", address, got)
		}

		if want := fmt.Sprintf(":%s", address); !strings.Contains(got.Endpoints[0], want) {
			t.Errorf("%s gives %s", address, got.Endpoints[0])
		}
	})
}

func FuzzReadMonitors(f *testing.F) {
	for _, seed := range []string{"a=10.0.0.1:6789,b=[::1]:3300", "=,=", "a=b=c:1", "[", "a=]:1"} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, list string) {
		got := ReadMonitors(map[string]string{"data": list})
		if len(got.Endpoints) > maxEndpoints {
			t.Errorf("%d endpoints", len(got.Endpoints))
		}

		for _, e := range got.Endpoints {
			if strings.ContainsAny(e, " \n\t;") {
				t.Errorf("an endpoint that is none: %q", e)
			}
		}
	})
}
