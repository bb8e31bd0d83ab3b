package e2e

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/install"
)

// right is a rule of a role that is installed.
type right struct {
	// role is its name, and namespace where it holds; everywhere if that is empty.
	role, namespace string
	rule            rbacv1.PolicyRule
}

// installedRights are what the service account may do that `lockstep install --dialects=live` binds.
func installedRights(t testing.TB, rook bool) []right {
	t.Helper()

	objects, err := install.Render(config.Files, install.Options{Dialects: []string{"live"}, Rook: rook})
	if err != nil {
		t.Fatal(err)
	}

	var (
		bound []rbacv1.RoleRef
		roles []rbacv1.ClusterRole // a Role has the same fields
	)

	for _, o := range objects {
		switch o.GetKind() {
		case "ClusterRoleBinding", "RoleBinding":
			var b rbacv1.ClusterRoleBinding
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &b); err != nil {
				t.Fatal(err)
			}

			bound = append(bound, b.RoleRef)
		case "ClusterRole", "Role":
			var r rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &r); err != nil {
				t.Fatal(err)
			}

			roles = append(roles, r)
		}
	}

	var rights []right

	for _, r := range roles {
		if !slices.ContainsFunc(bound, func(b rbacv1.RoleRef) bool { return b.Kind == r.Kind && b.Name == r.Name }) {
			continue
		}

		for _, rule := range r.Rules {
			rights = append(rights, right{r.Kind + " " + r.Name, r.Namespace, rule})
		}
	}

	return rights
}

// allows says whether a right is to do what was asked for. Whoever lists by name has said so in a selector.
func (r right) allows(q request) bool {
	resource := q.Resource
	if q.Subresource != "" {
		resource += "/" + q.Subresource
	}

	named := len(r.rule.ResourceNames) == 0 || slices.Contains(r.rule.ResourceNames, q.Name) || q.Verb == "list" || q.Verb == "watch"

	return named && (r.namespace == "" || r.namespace == q.Namespace) && slices.Contains(r.rule.APIGroups, q.Group) &&
		slices.Contains(r.rule.Resources, resource) && slices.Contains(r.rule.Verbs, q.Verb)
}

// within fails for what was asked for that no right is for. What everybody may who has logged in is not looked at.
func (w *liveWorld) within(requests []request) {
	w.Helper()

	for _, q := range requests {
		if q.Resource == "" || q.Group == "authorization.k8s.io" {
			continue
		}

		if !slices.ContainsFunc(w.rights, func(r right) bool { return r.allows(q) }) {
			w.Errorf("no right is for %s %s", q.Verb, q.Path)
		}
	}
}

// unused are the rights of a cluster role of which no use was made, as "verb resource.group".
func (w *liveWorld) unused(role string) []string {
	var left []string

	requests := w.proxy.Requests()

	for _, r := range w.rights {
		if r.role != "ClusterRole "+role {
			continue
		}

		for _, group := range r.rule.APIGroups {
			for _, resource := range r.rule.Resources {
				for _, verb := range r.rule.Verbs {
					// Where the server sends what there is with a watch, nobody has to list it first.
					if verb == "list" {
						verb = "watch"
					}

					one := right{r.role, r.namespace, rbacv1.PolicyRule{
						APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{verb}, ResourceNames: r.rule.ResourceNames,
					}}
					if !slices.ContainsFunc(requests, one.allows) {
						left = append(left, strings.TrimSuffix(fmt.Sprintf("%s %s.%s", verb, resource, group), "."))
					}
				}
			}
		}
	}

	slices.Sort(left)

	return slices.Compact(left)
}

// forms are the ways in which a secret can be told, by their names. A digest that needs no key tells a password that is easy
// to guess.
func forms(secret string) map[string]string {
	text := []byte(secret)
	quoted := strconv.Quote(secret)
	all := map[string]string{
		"as it is": secret, "quoted": quoted[1 : len(quoted)-1], "in a URL": url.QueryEscape(secret),
		"in base64": base64.StdEncoding.EncodeToString(text), "in hex": hex.EncodeToString(text),
	}

	md5sum, sha1sum, sha256sum, sha512sum := md5.Sum(text), sha1.Sum(text), sha256.Sum256(text), sha512.Sum512(text)
	for name, sum := range map[string][]byte{
		"its MD5": md5sum[:], "its SHA-1": sha1sum[:], "its SHA-256": sha256sum[:], "its SHA-512": sha512sum[:],
	} {
		// As much of it as a status shows of a digest.
		all[name+" in hex"] = hex.EncodeToString(sum[:16])
		all[name+" in base64"] = base64.StdEncoding.EncodeToString(sum)[:20]
	}

	return all
}
