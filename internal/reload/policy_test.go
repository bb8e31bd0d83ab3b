package reload_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
)

// The keys are spelled out here and nowhere taken from the code: they are the contract.
const (
	auto             = "reloader.stakater.com/auto"
	configMapAuto    = "configmap.reloader.stakater.com/auto"
	secretAuto       = "secret.reloader.stakater.com/auto"
	classAuto        = "secretproviderclass.reloader.stakater.com/auto"
	configMapReload  = "configmap.reloader.stakater.com/reload"
	secretReload     = "secret.reloader.stakater.com/reload"
	classReload      = "secretproviderclass.reloader.stakater.com/reload"
	search           = "reloader.stakater.com/search"
	match            = "reloader.stakater.com/match"
	ignore           = "reloader.stakater.com/ignore"
	configMapExclude = "configmaps.exclude.reloader.stakater.com/reload"
	secretExclude    = "secrets.exclude.reloader.stakater.com/reload"
	classExclude     = "secretproviderclasses.exclude.reloader.stakater.com/reload"
	rolloutStrategy  = "reloader.stakater.com/rollout-strategy"
	pausePeriod      = "deployment.reloader.stakater.com/pause-period"
	pausedAt         = "deployment.reloader.stakater.com/paused-at"
	lastReloadedFrom = "reloader.stakater.com/last-reloaded-from"
	minInterval      = "lockstep.dev/min-interval"
	filter           = "lockstep.dev/keys"
)

type annotations = map[string]string

func defaults() reload.Options { return reload.Options{Keys: reload.DefaultKeys()} }

func source(kind refs.Kind, name string) reload.Source {
	return reload.Source{Key: refs.Key{Kind: kind, Namespace: "ns", Name: name}}
}

func named() reload.Decision { return reload.Decision{Reload: true, Reason: reload.ReasonNamed} }

func byAuto(reason string) reload.Decision {
	return reload.Decision{Reload: true, Auto: true, Reason: reason}
}

func no(reason string) reload.Decision { return reload.Decision{Reason: reason} }

func TestSection1KeysOfWorkloadAndSource(t *testing.T) {
	t.Parallel()

	want := reload.Keys{
		Auto: auto, ConfigMapAuto: configMapAuto, SecretAuto: secretAuto, ClassAuto: classAuto,
		ConfigMapReload: configMapReload, SecretReload: secretReload, ClassReload: classReload,
		Search: search, Match: match, Ignore: ignore,
		ConfigMapExclude: configMapExclude, SecretExclude: secretExclude, ClassExclude: classExclude,
		PausePeriod: pausePeriod, PausedAt: pausedAt, RolloutStrategy: rolloutStrategy,
		LastReloadedFrom: lastReloadedFrom,
	}
	if diff := cmp.Diff(want, reload.DefaultKeys()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}

	for _, key := range []string{
		auto, configMapAuto, secretAuto, classAuto, configMapReload, secretReload, classReload, search, match, ignore,
		configMapExclude, secretExclude, classExclude, rolloutStrategy, pausePeriod, pausedAt, lastReloadedFrom,
		minInterval, filter, "lockstep.dev/carried", "lockstep.dev/content",
	} {
		if !defaults().Wanted(key) {
			t.Errorf("%s is not wanted", key)
		}
	}

	if defaults().Wanted("kubectl.kubernetes.io/last-applied-configuration") {
		t.Error("an annotation that nothing reads is wanted")
	}
}

func TestSection1AnInstallationMayRenameItsKeys(t *testing.T) {
	t.Parallel()

	o := defaults()
	o.Keys.Auto, o.Keys.SecretReload, o.Keys.Ignore = "example.com/auto", "example.com/secrets", "example.com/ignore"

	if !o.Wanted("example.com/auto") || o.Wanted(auto) {
		t.Error("the old key is wanted, or the new one is not")
	}

	p, problems := reload.Parse(annotations{"example.com/secrets": "a", auto: "true"}, nil, o)
	if got := p.Decide(source(refs.Secret, "a")); got != named() || len(problems) > 0 {
		t.Errorf("by the new key: %v, problems %v", got, problems)
	}

	if got := p.Decide(source(refs.Secret, "b")); got != no(reload.ReasonNotAsked) {
		t.Errorf("by the old key: %v", got)
	}

	s := o.SourceOf(source(refs.Secret, "a").Key, annotations{"example.com/ignore": "true", match: "true"})
	if want := (reload.Source{Key: s.Key, Ignored: true, Matched: true}); s != want {
		t.Errorf("source: %v, want %v", s, want)
	}
}

func TestSection1IgnoreAndMatchAreExactlyTrue(t *testing.T) {
	t.Parallel()

	for value, want := range map[string]bool{"true": true, "True": false, "1": false, "\ttrue": false, "": false} {
		s := defaults().SourceOf(refs.Key{}, annotations{ignore: value, match: value})
		if s.Ignored != want || s.Matched != want {
			t.Errorf("%q: ignored %t, matched %t, want %t", value, s.Ignored, s.Matched, want)
		}
	}
}

type decideCase struct {
	meta, template annotations
	all            bool
	source         reload.Source
	want           reload.Decision
}

func (tc decideCase) run(t *testing.T) {
	t.Helper()

	o := defaults()
	o.AutoReloadAll = tc.all

	p, problems := reload.Parse(tc.meta, tc.template, o)
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}

	if diff := cmp.Diff(tc.want, p.Decide(tc.source)); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}

	if tc.want.Reload && !p.OptedIn() {
		t.Error("not opted in, although it reloads")
	}
}

func runDecideCases(t *testing.T, cases map[string]decideCase) {
	t.Helper()

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.run(t)
		})
	}
}

func TestDecideBySetOfAnnotations(t *testing.T) {
	t.Parallel()

	secret, configMap := source(refs.Secret, "s"), source(refs.ConfigMap, "c")
	matched := source(refs.Secret, "s")
	matched.Matched = true

	runDecideCases(t, map[string]decideCase{
		"§2 without any annotation nothing reloads": {source: secret, want: no(reload.ReasonNotAsked)},
		"§2 metadata alone": {
			meta: annotations{auto: "true"}, source: secret, want: byAuto(reload.ReasonAuto),
		},
		"§2 the template alone": {
			template: annotations{auto: "true"}, source: secret, want: byAuto(reload.ReasonAuto),
		},
		"§2 search on the template alone": {
			template: annotations{search: "true"}, source: matched, want: byAuto(reload.ReasonSearch),
		},
		"§2 a false in the metadata hides the template": {
			meta: annotations{auto: "false"}, template: annotations{auto: "true", secretReload: "s"},
			source: secret, want: no(reload.ReasonNotAsked),
		},
		"§2 an empty value in the metadata hides the template": {
			meta: annotations{search: ""}, template: annotations{auto: "true"},
			source: secret, want: no(reload.ReasonNotAsked),
		},
		"§2 the choice is made for the kind that changed: the other kind's list leaves the template": {
			meta: annotations{secretReload: "s"}, template: annotations{auto: "true"},
			source: configMap, want: byAuto(reload.ReasonAuto),
		},
		"§2 the choice is made for the kind that changed: its own list hides the template": {
			meta: annotations{secretReload: "s"}, template: annotations{auto: "true"},
			source: source(refs.Secret, "other"), want: no(reload.ReasonNotAsked),
		},
		"§2 the other kind's auto leaves the template": {
			meta: annotations{configMapAuto: "true"}, template: annotations{secretAuto: "true"},
			source: secret, want: byAuto(reload.ReasonAuto),
		},
		"§2 other annotations in the metadata do not hide the template": {
			meta:     annotations{pausePeriod: "1s", secretExclude: "x", rolloutStrategy: "restart", filter: "cm/a=b"},
			template: annotations{auto: "true"}, source: secret, want: byAuto(reload.ReasonAuto),
		},
		"§2 an exclude list in the metadata applies to triggers of the template": {
			meta: annotations{secretExclude: "s"}, template: annotations{auto: "true"},
			source: secret, want: no(reload.ReasonExcluded),
		},
		"§2 an exclude list on the template counts": {
			meta: annotations{auto: "true"}, template: annotations{secretExclude: "x, s"},
			source: secret, want: no(reload.ReasonExcluded),
		},
	})
}

func TestDecideInOrder(t *testing.T) {
	t.Parallel()

	secret, configMap, class := source(refs.Secret, "s"), source(refs.ConfigMap, "s"), source(refs.SecretProviderClass, "s")
	matched, ignored := secret, secret
	matched.Matched, ignored.Ignored = true, true

	everything := annotations{auto: "true", secretReload: "s", search: "true", secretExclude: "s"}

	runDecideCases(t, map[string]decideCase{
		"§3.2 an ignored source reloads nothing": {
			meta: everything, all: true, source: ignored, want: no(reload.ReasonIgnored),
		},
		"§3.3 exclusion beats the named list, search and auto": {
			meta: everything, all: true, source: matched, want: no(reload.ReasonExcluded),
		},
		"§3.3 exclusion is for its kind": {
			meta: annotations{auto: "true", secretExclude: "s"}, source: configMap, want: byAuto(reload.ReasonAuto),
		},
		"§3.3 exclusion of a ConfigMap": {
			meta: annotations{auto: "true", configMapExclude: "s"}, source: configMap, want: no(reload.ReasonExcluded),
		},
		"§3.3 exclusion of a class": {
			meta: annotations{auto: "true", classExclude: "s"}, source: class, want: no(reload.ReasonExcluded),
		},
		"§3.3 exclusion is literal, not by expression": {
			meta: annotations{auto: "true", secretExclude: ".*"}, source: secret, want: byAuto(reload.ReasonAuto),
		},
		"§3.5 the named list beats search and auto": {
			meta:   annotations{auto: "true", secretReload: "a,s", search: "true"},
			source: matched, want: named(),
		},
		"§3.5 a named ConfigMap": {meta: annotations{configMapReload: "s"}, source: configMap, want: named()},
		"§3.5 a named class":     {meta: annotations{classReload: "s"}, source: class, want: named()},
		"§3.5 a list is for its kind": {
			meta: annotations{configMapReload: "s"}, source: secret, want: no(reload.ReasonNotAsked),
		},
		"§3.5 a false auto does not block the named list": {
			meta: annotations{auto: "false", secretReload: "s"}, source: secret, want: named(),
		},
		"§3.6 search needs a source that matches": {
			meta: annotations{search: "true"}, source: secret, want: no(reload.ReasonNotAsked),
		},
		"§3.6 search and match": {
			meta: annotations{search: "true", auto: "true"}, source: matched, want: byAuto(reload.ReasonSearch),
		},
		"§3.6 search is exactly true": {
			meta: annotations{search: "True"}, source: matched, want: no(reload.ReasonNotAsked),
		},
		"§3.6 a false auto does not block search": {
			meta: annotations{auto: "false", search: "true"}, source: matched, want: byAuto(reload.ReasonSearch),
		},
		"§3.6 a match alone asks for nothing": {
			meta: annotations{configMapReload: "x"}, source: matched, want: no(reload.ReasonNotAsked),
		},
		"§3.7 the typed auto": {
			meta: annotations{secretAuto: "1"}, source: secret, want: byAuto(reload.ReasonAuto),
		},
		"§3.7 the typed auto is for its kind": {
			meta: annotations{secretAuto: "true"}, source: configMap, want: no(reload.ReasonNotAsked),
		},
		"§3.7 a false auto does not block the typed auto": {
			meta: annotations{auto: "false", secretAuto: "true"}, source: secret, want: byAuto(reload.ReasonAuto),
		},
		"§3.7 §12 auto covers classes": {
			meta: annotations{auto: "true"}, source: class, want: byAuto(reload.ReasonAuto),
		},
		"§3.7 §12 the typed auto of a class": {
			meta: annotations{classAuto: "t"}, source: class, want: byAuto(reload.ReasonAuto),
		},
		"§3.7 auto-reload-all": {all: true, source: secret, want: byAuto(reload.ReasonAutoReloadAll)},
		"§3.7 an empty auto leaves auto-reload-all on": {
			meta: annotations{auto: ""}, all: true, source: secret, want: byAuto(reload.ReasonAutoReloadAll),
		},
		"§3.7 a false auto switches auto-reload-all off": {
			meta: annotations{auto: "false"}, all: true, source: secret, want: no(reload.ReasonNotAsked),
		},
		"§3.7 a false typed auto switches auto-reload-all off for its kind": {
			meta: annotations{secretAuto: "false"}, all: true, source: secret, want: no(reload.ReasonNotAsked),
		},
		"§3.7 a false typed auto leaves auto-reload-all on for other kinds": {
			meta: annotations{secretAuto: "false"}, all: true, source: configMap, want: byAuto(reload.ReasonAutoReloadAll),
		},
		"§3.7 a named list leaves auto-reload-all on": {
			meta: annotations{secretReload: "x", search: "true"}, all: true,
			source: secret, want: byAuto(reload.ReasonAutoReloadAll),
		},
		"§3 a kind that is not known asks for nothing": {
			meta: annotations{auto: "true"}, all: true, source: source("Other", "s"), want: no(reload.ReasonNotAsked),
		},
	})
}

func TestSection1AutoTakesTheValuesOfParseBool(t *testing.T) {
	t.Parallel()

	for _, value := range []string{"1", "t", "T", "TRUE", "true", "True"} {
		if p, problems := reload.Parse(annotations{auto: value}, nil, defaults()); !p.OptedIn() || len(problems) > 0 {
			t.Errorf("%q: opted in %t, problems %v", value, p.OptedIn(), problems)
		}
	}

	for _, value := range []string{"0", "f", "F", "FALSE", "false", "False", ""} {
		if p, problems := reload.Parse(annotations{auto: value}, nil, defaults()); p.OptedIn() || len(problems) > 0 {
			t.Errorf("%q: opted in %t, problems %v", value, p.OptedIn(), problems)
		}
	}
}

func TestSection35ItemsOfANamedList(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		list    string
		yes, no []string
	}{
		"a name":                      {"db", []string{"db"}, []string{"db1", "mydb", "Db"}},
		"blanks are trimmed":          {" a ,\tb\n", []string{"a", "b"}, []string{"c", ""}},
		"a dot stands for any letter": {"a.b", []string{"a.b", "a-b"}, []string{"ab"}},
		"an expression":               {"db-[0-9]+", []string{"db-1", "db-42"}, []string{"db-", "xdb-1", "db-1x"}},
		"no grouping is added":        {"a|b", []string{"abc", "xb", "a", "b"}, []string{"xa", "bc"}},
		"a lone star matches all":     {"*", []string{"a", "any.name"}, nil},
		"an empty item names nothing": {"a,,", []string{"a"}, []string{"", "b"}},
		"inline flags":                {"(?i)DB", []string{"db", "dB"}, []string{"db1"}},
		"a comma always separates":    {"x1{1,2}", []string{"2}"}, []string{"x1", "x11"}},
	}

	for name, tc := range cases {
		t.Run("§3.5 "+name, func(t *testing.T) {
			t.Parallel()

			p, _ := reload.Parse(annotations{secretReload: tc.list}, nil, defaults())
			for _, name := range tc.yes {
				if got := p.Decide(source(refs.Secret, name)); got != named() {
					t.Errorf("%s: %v, want %v", name, got, named())
				}
			}

			for _, name := range tc.no {
				if got := p.Decide(source(refs.Secret, name)); got.Reload {
					t.Errorf("%s: %v, want none", name, got)
				}
			}
		})
	}
}

func TestEdgesAreTheSourcesToLookAt(t *testing.T) {
	t.Parallel()

	uses := []refs.Use{
		{Kind: refs.ConfigMap, Name: "c", Container: "app"},
		{Kind: refs.Secret, Name: "s", Container: "app"},
		{Kind: refs.SecretProviderClass, Name: "k", Container: "app"},
	}
	c, s, k := source(refs.ConfigMap, "c").Key, source(refs.Secret, "s").Key, source(refs.SecretProviderClass, "k").Key
	pattern := refs.Pattern{Kind: refs.Secret, Namespace: "ns", Regexp: regexp.MustCompile("^db-.*$")}

	cases := map[string]struct {
		meta annotations
		all  bool
		want refs.Edges
	}{
		"none without annotations":         {},
		"all uses with auto":               {meta: annotations{auto: "true"}, want: refs.Edges{Keys: []refs.Key{c, s, k}}},
		"all uses with search":             {meta: annotations{search: "true"}, want: refs.Edges{Keys: []refs.Key{c, s, k}}},
		"all uses with auto-reload-all":    {all: true, want: refs.Edges{Keys: []refs.Key{c, s, k}}},
		"uses of one kind with typed auto": {meta: annotations{secretAuto: "true"}, want: refs.Edges{Keys: []refs.Key{s}}},
		"no uses with a named list": {
			meta: annotations{secretReload: "other,db-.*"},
			want: refs.Edges{
				Keys:     []refs.Key{source(refs.Secret, "other").Key},
				Patterns: []refs.Pattern{pattern},
			},
		},
		"not what is excluded": {
			meta: annotations{auto: "true", secretReload: "other", secretExclude: "s,other", configMapExclude: "x"},
			want: refs.Edges{Keys: []refs.Key{c, k}},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			o := defaults()
			o.AutoReloadAll = tc.all
			p, _ := reload.Parse(tc.meta, nil, o)

			byExpression := cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() })
			if diff := cmp.Diff(tc.want, p.Edges("ns", uses), byExpression); diff != "" {
				t.Errorf("edges (-want +got):\n%s", diff)
			}

			if want := len(tc.want.Keys)+len(tc.want.Patterns) > 0; p.OptedIn() != want {
				t.Errorf("opted in: %t, want %t", p.OptedIn(), want)
			}
		})
	}
}

func anyAnnotations() *rapid.Generator[annotations] {
	keys := []string{
		auto, configMapAuto, secretAuto, configMapReload, secretReload, search, configMapExclude, secretExclude,
	}
	values := []string{"", "true", "false", "maybe", "a", "b,a.", "a|b", "*", "[", ".*"}

	return rapid.MapOf(rapid.SampledFrom(keys), rapid.SampledFrom(values))
}

// A workload would miss a change for ever if it did not depend on the source.
func TestWhateverReloadsIsAmongTheEdges(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		o := defaults()
		o.AutoReloadAll = rapid.Bool().Draw(t, "auto-reload-all")
		p, _ := reload.Parse(anyAnnotations().Draw(t, "meta"), anyAnnotations().Draw(t, "template"), o)

		s := source(
			rapid.SampledFrom([]refs.Kind{refs.ConfigMap, refs.Secret}).Draw(t, "kind"),
			rapid.StringMatching(`[ab]{1,2}`).Draw(t, "name"),
		)
		s.Matched = rapid.Bool().Draw(t, "matched")

		var uses []refs.Use
		if rapid.Bool().Draw(t, "used") {
			uses = []refs.Use{{Kind: s.Key.Kind, Name: s.Key.Name, Container: "app"}}
		}

		x := refs.NewIndex[string]()
		x.Set("w", p.Edges("ns", uses))

		d := p.Decide(s)
		reloads := d.Reload && (!d.Auto || len(uses) > 0)

		if reloads && !slices.Contains(x.Dependents(s.Key), "w") {
			t.Errorf("%v reloads it, but is not among %v", s, x.Edges("w"))
		}

		if d.Reload && !p.OptedIn() {
			t.Errorf("%v reloads it, but it did not opt in", s)
		}
	})
}

func TestSettingsOfTheWorkload(t *testing.T) {
	t.Parallel()

	second := time.Second
	none := time.Duration(0)

	type settings struct {
		MinInterval *time.Duration
		PausePeriod time.Duration
		Restart     bool
	}

	cases := map[string]struct {
		meta, template annotations
		want           settings
	}{
		"nothing said":                     {},
		"§11 a pause period":               {meta: annotations{pausePeriod: "1h30m"}, want: settings{PausePeriod: 90 * time.Minute}},
		"§2 not from the template":         {template: annotations{pausePeriod: "1h", rolloutStrategy: "restart"}},
		"§10 a restart":                    {meta: annotations{rolloutStrategy: "restart"}, want: settings{Restart: true}},
		"§1 every other strategy rolls":    {meta: annotations{rolloutStrategy: "Restart"}},
		"a least interval":                 {meta: annotations{minInterval: "1s"}, want: settings{MinInterval: &second}},
		"no interval is an interval":       {meta: annotations{minInterval: "0s"}, want: settings{MinInterval: &none}},
		"the template's interval":          {template: annotations{minInterval: "1s"}, want: settings{MinInterval: &second}},
		"the metadata's interval is first": {annotations{minInterval: "1s"}, annotations{minInterval: "9s"}, settings{MinInterval: &second}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p, problems := reload.Parse(tc.meta, tc.template, defaults())
			if len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}

			if diff := cmp.Diff(tc.want, settings{p.MinInterval, p.PausePeriod, p.Restart}); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeysOfASource(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		value    string
		want     map[string][]string
		problems int
	}{
		"two sources, two separators":    {"cm/app=log-level,db.url;secret/db=password\ncm/b=k", map[string][]string{"cm/app": {"db.url", "log-level"}, "secret/db": {"password"}, "cm/b": {"k"}}, 0},
		"blanks and empty entries":       {" cm / app = b , a ;; \n ", map[string][]string{"cm/app": {"a", "b"}}, 0},
		"the kinds' other names":         {"configmap/a=k;configmaps/b=k;secrets/c=k", map[string][]string{"cm/a": {"k"}, "cm/b": {"k"}, "secret/c": {"k"}}, 0},
		"entries for one source add up":  {"cm/a=x;configmap/a=y,x", map[string][]string{"cm/a": {"x", "y"}}, 0},
		"a bad entry leaves others":      {"cm/a=;cm/b=k", map[string][]string{"cm/b": {"k"}}, 1},
		"a bad entry unfilters a source": {"cm/a=x;cm/a;cm/a=y", nil, 1},
		"a bad key unfilters a source":   {"cm/a=x,not a key", nil, 1},
		"a kind that cannot be filtered": {"spc/a=x", nil, 1},
		"no kind":                        {"a=x", nil, 1},
		"no name":                        {"cm/=x", nil, 1},
		"a name that cannot exist":       {"cm/A=x", nil, 1},
		"each of several problems":       {"x;y;x", nil, 2},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p, problems := reload.Parse(annotations{filter: tc.value}, nil, defaults())
			if len(problems) != tc.problems {
				t.Errorf("problems %v, want %d", problems, tc.problems)
			}

			for _, name := range []string{"a", "A", "b", "c", "app", "db"} {
				for _, kind := range []refs.Kind{refs.ConfigMap, refs.Secret, refs.SecretProviderClass} {
					k := source(kind, name).Key
					if diff := cmp.Diff(tc.want[k.Local()], p.KeysOf(k)); diff != "" {
						t.Errorf("keys of %s (-want +got):\n%s", k, diff)
					}
				}
			}
		})
	}
}

func TestProblemsNameKeyValueAndWhatIsAccepted(t *testing.T) {
	t.Parallel()

	list := "names or Go regular expressions, separated by commas (a comma always separates)"
	duration := "a duration of zero or more, such as 30s, 5m or 1h30m"
	entries := "entries such as cm/NAME=KEY,KEY or secret/NAME=KEY, separated by semicolons or line breaks"

	cases := map[string]struct {
		meta, template annotations
		want           []reload.Problem
	}{
		"a list item that does not compile": {
			meta: annotations{secretReload: "a,[,b,x(,y"},
			want: []reload.Problem{{secretReload, "[", list}, {secretReload, "x(", list}},
		},
		"an auto that is no bool, once for all kinds": {
			meta: annotations{auto: "yes"}, want: []reload.Problem{{auto, "yes", "true or false"}},
		},
		"a typed auto besides a good auto": {
			meta: annotations{auto: "true", secretAuto: "on"}, want: []reload.Problem{{secretAuto, "on", "true or false"}},
		},
		"not one that the metadata hides": {meta: annotations{auto: "false"}, template: annotations{auto: "yes"}},
		"§11 a pause period that is no duration": {
			meta: annotations{pausePeriod: "5 minutes"}, want: []reload.Problem{{pausePeriod, "5 minutes", duration}},
		},
		"§11 a negative pause period": {
			meta: annotations{pausePeriod: "-5m"}, want: []reload.Problem{{pausePeriod, "-5m", duration}},
		},
		"an interval that is no duration": {
			meta: annotations{minInterval: ""}, want: []reload.Problem{{minInterval, "", duration}},
		},
		"a filter entry": {meta: annotations{filter: "cm/a"}, want: []reload.Problem{{filter, "cm/a", entries}}},
		"a long value is cut": {
			meta: annotations{auto: strings.Repeat("é", 101)},
			want: []reload.Problem{{auto, strings.Repeat("é", 99) + "…", "true or false"}},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p, problems := reload.Parse(tc.meta, tc.template, defaults())
			if diff := cmp.Diff(tc.want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}

			if p.PausePeriod != 0 || p.MinInterval != nil {
				t.Errorf("pause %s, interval %v, want none of them", p.PausePeriod, p.MinInterval)
			}
		})
	}

	got := reload.Problem{Key: auto, Value: "yes", Accepted: "true or false"}
	if want := auto + `: cannot use "yes": accepted is true or false`; !strings.HasSuffix(got.String(), want) {
		t.Errorf("said as %q, want it to end with %q", got, want)
	}
}

func TestABadItemLeavesTheOthers(t *testing.T) {
	t.Parallel()

	p, _ := reload.Parse(annotations{secretReload: "[,b"}, nil, defaults())
	if got := p.Decide(source(refs.Secret, "b")); got != named() {
		t.Errorf("§3.5 the item after a bad one: %v, want %v", got, named())
	}

	p, _ = reload.Parse(annotations{auto: "yes"}, nil, reload.Options{Keys: reload.DefaultKeys(), AutoReloadAll: true})
	if got := p.Decide(source(refs.Secret, "b")); got != no(reload.ReasonNotAsked) {
		t.Errorf("§1 an auto that is no bool is false: %v", got)
	}
}

// FuzzParse holds the reader of annotations to its word on any value: no panic, and a problem for whatever it drops.
func FuzzParse(f *testing.F) {
	for _, value := range []string{
		"", "true", "a,b", "[", "x{1,2}", "*", "(?i)a", "-5m", "1h", "cm/a=k;secret/b", "\xff", "(((((((((a{99}){99}){99})",
	} {
		f.Add(value, value)
	}

	keys := slices.Sorted(maps.Keys(annotations{
		auto: "", secretAuto: "", secretReload: "", search: "", secretExclude: "", pausePeriod: "", minInterval: "",
		filter: "", rolloutStrategy: "",
	}))

	f.Fuzz(func(t *testing.T, value, name string) {
		for _, key := range keys {
			p, problems := reload.Parse(annotations{key: value}, annotations{key: name}, defaults())
			p.Decide(source(refs.Secret, name))
			p.Edges("ns", nil)
			p.KeysOf(source(refs.Secret, name).Key)

			for _, problem := range problems {
				if problem.Key != key || problem.Accepted == "" || len([]rune(problem.Value)) > 100 {
					t.Errorf("problem with %s: %v", key, problem)
				}
			}
		}

		_, problems := reload.Parse(annotations{secretReload: value}, nil, defaults())
		bad := 0

		for item := range strings.SplitSeq(value, ",") {
			if _, err := regexp.Compile("^" + strings.TrimSpace(item) + "$"); err != nil {
				bad++
			}
		}

		if (bad > 0) != (len(problems) > 0) {
			t.Errorf("%d items of %q do not compile; problems: %v", bad, value, problems)
		}

		_, err := time.ParseDuration(value)
		if _, problems = reload.Parse(annotations{pausePeriod: value}, nil, defaults()); err != nil && len(problems) == 0 {
			t.Errorf("no problem with a pause of %q", value)
		}
	})
}

// FuzzKeysFilter holds the filter to the rule that a problem never filters more.
func FuzzKeysFilter(f *testing.F) {
	for _, value := range []string{"cm/a=k", "cm/a=x;cm/a", ";\n=", "secrets/a.b=x,y", "cm/a==x", "cm/a=k=v"} {
		f.Add(value)
	}

	f.Fuzz(func(t *testing.T, value string) {
		key := source(refs.ConfigMap, "a").Key

		p, problems := reload.Parse(annotations{filter: value + ";cm/a=last"}, nil, defaults())
		keys := p.KeysOf(key)

		if len(problems) == 0 && !slices.Contains(keys, "last") {
			t.Errorf("%q: keys %q without problems", value, keys)
		}

		if keys != nil && !slices.Contains(keys, "last") {
			t.Errorf("%q: the last entry is dropped from %q", value, keys)
		}

		if !slices.IsSorted(keys) {
			t.Errorf("%q: keys out of order: %q", value, keys)
		}

		p, problems = reload.Parse(annotations{filter: value + ";cm/a"}, nil, defaults())
		if p.KeysOf(key) != nil || len(problems) == 0 {
			t.Errorf("%q: a bad entry left the filter %q, problems %v", value, p.KeysOf(key), problems)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	meta := annotations{auto: "true", secretReload: "db,cache", minInterval: "10s"}

	b.ReportAllocs()

	for b.Loop() {
		reload.Parse(meta, nil, defaults())
	}
}

func BenchmarkDecide(b *testing.B) {
	p, _ := reload.Parse(annotations{auto: "true", secretReload: "db,cache-.*"}, nil, defaults())
	s := source(refs.Secret, "other")

	b.ReportAllocs()

	for b.Loop() {
		p.Decide(s)
	}
}
