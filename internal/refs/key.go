package refs

import "strings"

// Kind is a kind of object that configuration comes from.
type Kind string

// The kinds of source that a pod template can read.
const (
	ConfigMap           Kind = "ConfigMap"
	Secret              Kind = "Secret"
	SecretProviderClass Kind = "SecretProviderClass"
)

// Short is the kind as people type it: cm, secret, spc.
func (k Kind) Short() string {
	switch k {
	case ConfigMap:
		return "cm"
	case Secret:
		return "secret"
	case SecretProviderClass:
		return "spc"
	}

	return string(k)
}

// Key names one source of configuration.
type Key struct {
	Kind      Kind
	Namespace string
	Name      string
}

// String is the key as people type it, with its namespace: secret/payments/db.
func (k Key) String() string { return k.Kind.Short() + "/" + k.Namespace + "/" + k.Name }

// Local is the key inside its own namespace: secret/db.
func (k Key) Local() string { return k.Kind.Short() + "/" + k.Name }

// ParseLocal reads what [Key.Local] wrote.
func ParseLocal(namespace, text string) (Key, bool) {
	short, name, found := strings.Cut(text, "/")
	if !found || name == "" {
		return Key{}, false
	}

	for _, k := range []Kind{ConfigMap, Secret, SecretProviderClass} {
		if k.Short() == short {
			return Key{Kind: k, Namespace: namespace, Name: name}, true
		}
	}

	return Key{}, false
}
