package reload_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
)

func TestEnvName(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		kind refs.Kind
		name string
		want string
	}{
		"§6 a ConfigMap":              {refs.ConfigMap, "my-config", "STAKATER_MY_CONFIG_CONFIGMAP"},
		"§6 a Secret":                 {refs.Secret, "db", "STAKATER_DB_SECRET"},
		"§6 §12 a class":              {refs.SecretProviderClass, "my-spc", "STAKATER_MY_SPC_SECRETPROVIDERCLASS"},
		"§6 dots":                     {refs.ConfigMap, "kube-root-ca.crt", "STAKATER_KUBE_ROOT_CA_CRT_CONFIGMAP"},
		"§6 runs collapse":            {refs.ConfigMap, "foo..bar", "STAKATER_FOO_BAR_CONFIGMAP"},
		"§6 a trailing one stays":     {refs.ConfigMap, "my-config-", "STAKATER_MY_CONFIG__CONFIGMAP"},
		"§6 leading ones vanish":      {refs.ConfigMap, "--a", "STAKATER_A_CONFIGMAP"},
		"§6 digits stay":              {refs.Secret, "v2.db1", "STAKATER_V2_DB1_SECRET"},
		"§6 nothing but punctuation":  {refs.Secret, "...", "STAKATER__SECRET"},
		"§6 bytes beyond the letters": {refs.Secret, "aéb", "STAKATER_A_B_SECRET"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(tc.want, reload.EnvName(source(tc.kind, tc.name).Key)); diff != "" {
				t.Errorf("variable (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzEnvName(f *testing.F) {
	for _, name := range []string{"", "my-config", "kube-root-ca.crt", "-", "a..", "\xff", "ſ", "É"} {
		f.Add(name)
	}

	valid := regexp.MustCompile(`^STAKATER_([A-Z0-9]+(_[A-Z0-9]+)*_?)?_(CONFIGMAP|SECRET|SECRETPROVIDERCLASS)$`)

	f.Fuzz(func(t *testing.T, name string) {
		for _, kind := range []refs.Kind{refs.ConfigMap, refs.Secret, refs.SecretProviderClass} {
			if got := reload.EnvName(source(kind, name).Key); !valid.MatchString(got) {
				t.Errorf("§6 %q gives %s", name, got)
			}
		}
	})
}

func TestSection7LastReloadIsWrittenInItsOrder(t *testing.T) {
	t.Parallel()

	hash := "dc30e0faa89a70dec1033016a2309bbeb9efcbd0"
	l := reload.LastReload{
		Type: reload.TypeName(refs.ConfigMap), Name: "cm", Namespace: "ns", Hash: hash,
		ContainerRefs: []string{"app"}, ObservedAt: 1700000000,
	}
	want := `{"type":"CONFIGMAP","name":"cm","namespace":"ns","hash":"` + hash +
		`","containerRefs":["app"],"observedAt":1700000000}`

	if diff := cmp.Diff(want, l.String()); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}

	got, err := reload.ParseLastReload(want)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}

	if diff := cmp.Diff(l, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}

	l.ContainerRefs = nil
	if got, err := reload.ParseLastReload(l.String()); err != nil || got.ContainerRefs == nil {
		t.Errorf("no container is not an empty list: %s, %v", l, err)
	}
}

func TestParseLastReloadRefuses(t *testing.T) {
	t.Parallel()

	for _, value := range []string{"", "x", "[]", "{}", "null", `{"type":1}`, `{"type":"SECRET"}`, `{"name":"a"}`} {
		if got, err := reload.ParseLastReload(value); err == nil {
			t.Errorf("%q was read as %v", value, got)
		}
	}
}

func FuzzParseLastReload(f *testing.F) {
	f.Add(reload.LastReload{Type: "SECRET", Name: "a", ContainerRefs: []string{"app"}}.String())
	f.Add("{}")
	f.Add("null")
	f.Fuzz(func(t *testing.T, value string) {
		l, err := reload.ParseLastReload(value)
		if err != nil {
			return
		}

		again, err := reload.ParseLastReload(l.String())
		if err != nil || again.String() != l.String() {
			t.Errorf("%q: %s read back as %s, %v", value, l, again, err)
		}
	})
}

func TestCarriedIsCompactAndDeterministic(t *testing.T) {
	t.Parallel()

	c := reload.Carried{
		At:     time.Date(2026, 8, 10, 14, 0, 0, 120_999_999, time.FixedZone("", 2*60*60)),
		Streak: 2,
		Sources: map[string]digest.Sum{
			"secret/db": {1}, "cm/app": {}, "spc/vault": {255},
		},
	}
	want := `{"at":"2026-08-10T12:00:00.12Z","streak":2,"sources":{` +
		`"cm/app":"AAAAAAAAAAAAAAAAAAAAAA","secret/db":"AQAAAAAAAAAAAAAAAAAAAA","spc/vault":"_wAAAAAAAAAAAAAAAAAAAA"}}`

	for range 10 {
		if diff := cmp.Diff(want, c.String()); diff != "" {
			t.Fatalf("value (-want +got):\n%s", diff)
		}
	}

	if got := (reload.Carried{}).String(); got != "{}" {
		t.Errorf("nothing carried is written as %s", got)
	}
}

func TestCarriedIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		sum := rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) digest.Sum { return digest.Sum(b) })
		name := rapid.StringMatching(`(cm|secret|spc)/[a-z0-9.-]{1,20}`)

		want := reload.Carried{
			At:     time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "at")).UTC(),
			Streak: rapid.IntRange(0, 100).Draw(t, "streak"),
		}
		if sources := rapid.MapOfN(name, sum, 0, 4).Draw(t, "sources"); len(sources) > 0 {
			want.Sources = sources
		}

		got, err := reload.ParseCarried(want.String())
		if err != nil {
			t.Fatalf("parse %s: %v", want, err)
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want, diff)
		}
	})
}

func TestParseCarriedRefuses(t *testing.T) {
	t.Parallel()

	cases := map[string]string{
		"nothing":              "",
		"null":                 " null",
		"a list":               "[]",
		"something after it":   "{}{}",
		"a cut value":          `{"at":"2026-08-10T12:00`,
		"another form of time": `{"at":"10 August"}`,
		"another zone":         `{"at":"2026-08-10T12:00:00+02:00"}`,
		"a negative streak":    `{"streak":-1}`,
		"a digest cut short":   `{"sources":{"cm/app":"AAAA"}}`,
		"a digest of numbers":  `{"sources":{"cm/app":7}}`,
	}

	for name, value := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := reload.ParseCarried(value)
			if err == nil {
				t.Errorf("%q was read as %s", value, got)
			}

			if diff := cmp.Diff(reload.Carried{}, got); diff != "" {
				t.Errorf("with an error (-want +got):\n%s", diff)
			}
		})
	}

	if _, err := reload.ParseCarried(`{"streak":1,"later":{"a":[1]}}`); err != nil {
		t.Errorf("a field that a later release added: %v", err)
	}
}

func FuzzParseCarried(f *testing.F) {
	f.Add(reload.Carried{}.String())
	f.Add(reload.Carried{At: time.UnixMilli(1).UTC(), Streak: 1, Sources: map[string]digest.Sum{"cm/a": {1}}}.String())
	f.Add(`{"at":"9999-12-31T23:59:59.9999Z"}`)
	f.Add(`{"sources":{"a":null}}`)
	f.Fuzz(func(t *testing.T, value string) {
		c, err := reload.ParseCarried(value)
		if err != nil {
			return
		}

		again, err := reload.ParseCarried(c.String())
		if err != nil || again.String() != c.String() {
			t.Errorf("%q: %s read back as %s, %v", value, c, again, err)
		}
	})
}
