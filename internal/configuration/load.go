package configuration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
)

// Load reads a configuration file. What it leaves out stays empty: see [Default].
func Load(path string) (*configv1alpha1.LockstepConfiguration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}

	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}

	return c, nil
}

// Parse reads a configuration, in YAML or JSON. A field that does not exist is an error that says which do.
func Parse(text []byte) (*configv1alpha1.LockstepConfiguration, error) {
	object, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}

	var meta metav1.TypeMeta
	if err := json.UnmarshalCaseSensitivePreserveInts(object, &meta); err != nil {
		return nil, fmt.Errorf("not a configuration: %w", err)
	}

	if meta.APIVersion != configv1alpha1.APIVersion || meta.Kind != configv1alpha1.Kind {
		return nil, fmt.Errorf("apiVersion %q and kind %q: accepted are %q and %q",
			meta.APIVersion, meta.Kind, configv1alpha1.APIVersion, configv1alpha1.Kind)
	}

	c := &configv1alpha1.LockstepConfiguration{}

	strict, err := json.UnmarshalStrict(object, c)
	if err != nil {
		return nil, fmt.Errorf("a value does not fit its field: %w", err)
	}

	var unknown []error

	for _, problem := range strict {
		if field, ok := errors.AsType[json.FieldError](problem); ok {
			problem = unknownField(field.FieldPath())
		}

		unknown = append(unknown, problem)
	}

	if err := errors.Join(unknown...); err != nil {
		return nil, err
	}

	return c, nil
}

// unknownField names the field and those that exist next to it.
func unknownField(path string) error {
	t := reflect.TypeFor[configv1alpha1.LockstepConfiguration]()
	parents := strings.Split(path, ".")

	for _, name := range parents[:len(parents)-1] {
		parent, ok := fields(t)[name]
		if !ok || parent.Kind() != reflect.Struct {
			return fmt.Errorf("unknown field %q", path)
		}

		t = parent
	}

	return fmt.Errorf("unknown field %q: accepted here are %s",
		path, strings.Join(slices.Sorted(maps.Keys(fields(t))), ", "))
}

// fields are the fields of a struct by the name that a file gives them.
func fields(t reflect.Type) map[string]reflect.Type {
	found := map[string]reflect.Type{}

	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			found[name] = f.Type
		}
	}

	return found
}
