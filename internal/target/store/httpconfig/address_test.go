package httpconfig

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
)

func TestAnEndpointIsASchemeAHostAndAPath(t *testing.T) {
	t.Parallel()
	for endpoint, ok := range map[string]bool{
		"http://10.0.0.5:9090": true, "https://caddy.shop.svc:2019/base/": true, "http://[::1]:80": true,
		"": false, "10.0.0.5:9090": false, "ftp://a": false, "file:///etc/passwd": false, "http://": false, "http://:80": false,
		"http://user:canary@a": false, "http://user@a": false, "http://a?b=c": false, "http://a?": false, "http://a#b": false,
		"http://a b": false, "http://a\x00": false, "unix:///run/x.sock": false,
	} {
		_, err := base(endpoint)
		if (err == nil) != ok {
			t.Errorf("%q: got %v", endpoint, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: the error has a password: %v", endpoint, err)
		}
	}
}

func TestNamesArePutIntoPathsAsText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		endpoint, path string
		setting        live.Setting
		want           string // empty when it is refused
	}{
		"nothing to put":                    {"http://a:1", "/load", named("x"), "http://a:1/load"},
		"below a path":                      {"http://a/base/", "/load", named("x"), "http://a/base/load"},
		"a name":                            {"http://a", "/config/{name}", named("x y/z?#%"), "http://a/config/x%20y%2Fz%3F%23%25"},
		"a prefix and a name":               {"http://a", "/{prefix}/{name}", live.Setting{Prefix: "p", Name: "n"}, "http://a/p/n"},
		"in the query":                      {"http://a", "/x?key={name}&v=1", named("a&b=c d"), "http://a/x?key=a%26b%3Dc+d&v=1"},
		"braces in a name are text":         {"http://a", "/{prefix}", live.Setting{Prefix: "{name}", Name: "n"}, "http://a/%7Bname%7D"},
		"out of the path":                   {"http://a", "/config/{name}", named(".."), ""},
		"out of the path, further in":       {"http://a", "/config/{name}", named("x/../../load"), ""},
		"out of the path, by a backslash":   {"http://a", "/config/{name}", named(`..\load`), ""},
		"out of the path, with what stands": {"http://a", "/config/.{name}", named("."), ""},
		"in place":                          {"http://a", "/config/{name}", named("."), ""},
		"dots in a name":                    {"http://a", "/config/{name}", named("..x"), "http://a/config/..x"},
		"a host is none":                    {"http://a", "/{name}", named("@evil:80/"), "http://a/@evil:80%2F"},
		"two slashes":                       {"http://a", "//evil/{name}", named("x"), "http://a//evil/x"},
		"letters of elsewhere":              {"http://a", "/{name}", named("é"), "http://a/%C3%A9"},
	} {
		endpoint, err := base(c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		p, err := readPlace(c.path)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if u, err := p.at(endpoint, c.setting); err == nil {
			got = u.String()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	for _, path := range []string{"", "load", "http://b/load", "/load#x"} {
		if _, err := readPlace(path); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
}

func TestNoNameLeadsElsewhere(t *testing.T) {
	t.Parallel()
	endpoint, _ := base("http://host:1/base")
	p, _ := readPlace("/in/{prefix}/x-{name}/y?a={name}&b=1")
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.OneOf(rapid.String(), rapid.StringMatching(`[./\\%{}?#@:a-z]{0,8}`))
		u, err := p.at(endpoint, live.Setting{Name: piece.Draw(t, "name"), Prefix: piece.Draw(t, "prefix")})
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != "host:1" || !strings.HasPrefix(again.EscapedPath(), "/base/in/") || !strings.HasSuffix(again.EscapedPath(), "/y") ||
			strings.Count(again.EscapedPath(), "/") != 5 || len(again.Query()) != 2 || again.Fragment != "" {
			t.Fatalf("%s: %v", u, err)
		}
	})
}
