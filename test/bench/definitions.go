package main

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/lockstep-dev/lockstep/config"
)

// definitionFiles are the definitions that the graph scene works with, each in a file of its name.
//
//go:embed definitions
var definitionFiles embed.FS

// The definitions, each with the resource of its instances.
const (
	siteName     = "site"
	networkName  = "network"
	clusterName  = "cluster"
	platformName = "platform"
)

// chain lists the definitions of three levels, the innermost first.
func chain() []string { return []string{networkName, clusterName, platformName} }

// The resources that the graph scene makes or watches.
func customDefinitions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

func definitions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "kro.run", Version: "v1alpha1", Resource: "resourcegraphdefinitions"}
}

func configMaps() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
}

func services() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "services"}
}

func deployments() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
}

// instancesOf is the resource that the definition makes.
func instancesOf(definition string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "bench.lockstep.dev", Version: "v1alpha1", Resource: definition + "s"}
}

// newInstance returns an instance with one field of its spec set.
func newInstance(definition, name, field, value string) *unstructured.Unstructured {
	kind := strings.ToUpper(definition[:1]) + definition[1:]
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": instancesOf(definition).GroupVersion().String(), "kind": kind,
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{field: value},
	}}
}

// readDefinition returns the definition of that name.
func readDefinition(name string) (*unstructured.Unstructured, error) {
	data, err := definitionFiles.ReadFile("definitions/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("read the definition: %w", err)
	}
	all, err := parseObjects(string(data))
	if err != nil || len(all) != 1 {
		return nil, errors.Join(fmt.Errorf("definition %s: want one object, got %d", name, len(all)), err)
	}
	return all[0], nil
}

// dialectCRDs returns the CustomResourceDefinitions that an installation of a dialect brings.
func dialectCRDs(d dialect) ([]*unstructured.Unstructured, error) {
	files, err := fs.Glob(config.Files, "dialects/"+string(d)+"/crd/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("find the CustomResourceDefinitions: %w", err)
	}
	var all []*unstructured.Unstructured
	for _, file := range files {
		data, err := config.Files.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a CustomResourceDefinition: %w", err)
		}
		objects, err := parseObjects(string(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

func parseObjects(text string) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), len(text))
	var all []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("decode: %w", err)
		case len(object.Object) > 0:
			all = append(all, object)
		}
	}
}

// child is an object that the definition of a site would make, and its resource.
type child struct {
	resource schema.GroupVersionResource
	object   *unstructured.Unstructured
	// changes tells whether the site's value is in it.
	changes bool
}

// siteChildren returns what the definition of a site makes of a name and a value: the templates themselves with the
// expressions replaced, so that the work by hand cannot differ from the controller's.
func siteChildren(definition *unstructured.Unstructured, name, value string) ([]child, error) {
	resources, _, err := unstructured.NestedSlice(definition.Object, "spec", "resources")
	if err != nil {
		return nil, fmt.Errorf("resources of the definition: %w", err)
	}
	of := map[string]schema.GroupVersionResource{
		"ConfigMap": configMaps(), "Service": services(), "Deployment": deployments(),
	}
	var children []child
	for _, resource := range resources {
		entry, _ := resource.(map[string]any)
		template, _ := entry["template"].(map[string]any)
		c := child{}
		filled, _ := c.fill(template, name, value).(map[string]any)
		c.object = &unstructured.Unstructured{Object: filled}
		var known bool
		if c.resource, known = of[c.object.GetKind()]; !known {
			return nil, fmt.Errorf("the definition makes a %q, which nobody makes by hand", c.object.GetKind())
		}
		children = append(children, c)
	}
	return children, nil
}

// fill returns the value with its expressions replaced, and notes whether one of them is the site's value.
func (c *child) fill(value any, name, text string) any {
	switch typed := value.(type) {
	case map[string]any:
		filled := make(map[string]any, len(typed))
		for key, inner := range typed {
			filled[key] = c.fill(inner, name, text)
		}
		return filled
	case []any:
		filled := make([]any, len(typed))
		for i, inner := range typed {
			filled[i] = c.fill(inner, name, text)
		}
		return filled
	case string:
		filled := strings.NewReplacer("${schema.spec.value}", text, "${config.data.value}", text).Replace(typed)
		c.changes = c.changes || filled != typed
		return strings.ReplaceAll(filled, "${schema.metadata.name}", name)
	}
	return value
}
