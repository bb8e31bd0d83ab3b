package rook

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
)

func TestNames(t *testing.T) {
	t.Parallel()

	long := strings.Repeat("a", 190)
	cases := map[string]struct{ got, want string }{
		"a cluster":         {StoreName("shop"), "rook-shop"},
		"its config":        {ConfigName("shop", Reference{Kind: KindCluster, Name: "shop"}), "rook-shop"},
		"an object store":   {ConfigName("shop", Reference{Kind: KindObjectStore, Name: "web-eu"}), "rook-shop-rgw-web-eu"},
		"as long as can be": {StoreName(strings.Repeat("a", 195)), "rook-" + strings.Repeat("a", 195)},
		"one more": {
			StoreName(strings.Repeat("a", 196)), "rook-" + strings.Repeat("a", 184) + "-96b864ee9e",
		},
		"no dash or dot before the digest": {
			ConfigName(long[:183], Reference{Kind: KindObjectStore, Name: long}), "rook-" + long[:183] + "-390f5f8186",
		},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if test.got != test.want {
				t.Errorf("got %s, want %s", test.got, test.want)
			}
		})
	}
}

func TestNamesAreValidAndDoNotCollide(t *testing.T) {
	t.Parallel()

	name := rapid.StringMatching(`[a-z]([a-z.-]{0,250}[a-z])?`).Filter(func(s string) bool {
		return len(validation.IsDNS1123Subdomain(s)) == 0
	})

	rapid.Check(t, func(t *rapid.T) {
		cluster, one, other := name.Draw(t, "cluster"), name.Draw(t, "one"), name.Draw(t, "other")
		names := map[string]string{
			"cluster": StoreName(cluster),
			one:       ConfigName(cluster, Reference{Kind: KindObjectStore, Name: one}),
			other:     ConfigName(cluster, Reference{Kind: KindObjectStore, Name: other}),
		}
		distinct := map[string]bool{}

		for _, n := range names {
			if len(n) > maxObjectName || len(validation.IsDNS1123Subdomain(n)) > 0 {
				t.Errorf("%q is no name", n)
			}

			distinct[n] = true
		}

		if len(distinct) != len(names) {
			t.Errorf("two have one name: %v", names)
		}
	})
}
