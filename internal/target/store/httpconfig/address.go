package httpconfig

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// base reads an endpoint. The error has nothing of it: a wrong one may have a password in it.
func base(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("the endpoint is not a URL such as http://10.0.0.5:9090")
	case u.User != nil:
		return nil, errors.New("the endpoint has a user in it; name a Secret in credentials instead")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the endpoint has more than a scheme, a host and a path in it")
	}

	return u, nil
}

// place is the path of a request, in which {name} and {prefix} stand for those of a setting.
type place struct{ path, query string }

// readPlace reads a path as the LiveStore gives it.
func readPlace(text string) (place, error) {
	if !strings.HasPrefix(text, "/") {
		return place{}, fmt.Errorf("the path %q does not begin with /", text)
	}
	if strings.Contains(text, "#") {
		return place{}, fmt.Errorf("the path %q has a fragment, which is never sent", text)
	}
	var p place
	p.path, p.query, _ = strings.Cut(text, "?")

	return p, nil
}

// general says whether it is the same for all settings.
func (p place) general() bool {
	return !strings.Contains(p.path+p.query, "{name}") && !strings.Contains(p.path+p.query, "{prefix}")
}

// at is the URL for a setting at an endpoint. A name is text within the path or the query, whatever is in it; it
// cannot lead out of the path.
func (p place) at(endpoint *url.URL, s live.Setting) (*url.URL, error) {
	text := endpoint.Scheme + "://" + endpoint.Host + strings.TrimSuffix(endpoint.EscapedPath(), "/") + fill(p.path, s, url.PathEscape)
	if p.query != "" {
		text += "?" + fill(p.query, s, url.QueryEscape)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host != endpoint.Host || u.User != nil {
		return nil, fmt.Errorf("makes no URL with the path %q", p.path)
	}
	for segment := range strings.SplitSeq(strings.ReplaceAll(u.Path, `\`, "/"), "/") {
		if slices.Contains([]string{".", ".."}, segment) {
			return nil, fmt.Errorf("would lead out of the path %q", p.path)
		}
	}

	return u, nil
}

func fill(text string, s live.Setting, escape func(string) string) string {
	return strings.NewReplacer("{name}", escape(s.Name), "{prefix}", escape(s.Prefix)).Replace(text)
}
