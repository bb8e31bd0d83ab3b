package install

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// DefaultNamespace is where the manager lives unless another namespace is asked for. The manifests name it.
const DefaultNamespace = "lockstep-system"

// The label by which an installed object is known again.
const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedByValue = "lockstep-install"
)

const (
	managerFolder  = "manager"
	dialectsFolder = "dialects"
	// Within the folder of a dialect.
	definitionsFolder  = "crd"
	unrestrictedFolder = "unrestricted"
	rookFolder         = "rook"
)

// Options say what an installation consists of.
type Options struct {
	// Dialects are those to be served: at least one of [Dialects].
	Dialects []string
	// Namespace is where the manager lives; empty for [DefaultNamespace].
	Namespace string
	// Image is the manager's container image. Without one the manager itself is left out: it runs elsewhere.
	Image string
	// Unrestricted gives the dialects that write objects of any kind every right, instead of the rights that roles with
	// a label grant them.
	Unrestricted bool
	// Rook has the manager serve the settings that Rook's own objects name, and gives it the rights for that.
	Rook bool
}

// Dialects lists the dialects that there are manifests for, sorted.
func Dialects(files fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(files, dialectsFolder)
	if err != nil {
		return nil, fmt.Errorf("list the dialects: %w", err)
	}

	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}

	return names, nil
}

// Render reads the manifests, laid out as in package config, and returns the objects of an installation in the
// order in which they have to be applied.
func Render(files fs.FS, o Options) ([]*unstructured.Unstructured, error) {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}

	if problems := validation.IsDNS1123Label(o.Namespace); len(problems) > 0 {
		return nil, fmt.Errorf("namespace %q cannot be used: %s", o.Namespace, strings.Join(problems, "; "))
	}

	folders, err := folders(files, o)
	if err != nil {
		return nil, err
	}

	var objects []*unstructured.Unstructured

	for _, folder := range folders {
		found, err := read(files, folder)
		if err != nil {
			return nil, err
		}

		objects = append(objects, found...)
	}

	if o.Image == "" {
		objects = slices.DeleteFunc(objects, isManager)
	}

	for _, obj := range objects {
		if err := adapt(obj, o); err != nil {
			return nil, fmt.Errorf("adapt %s: %w", Name(obj), err)
		}
	}

	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return cmp.Compare(rank(a), rank(b)) })

	return objects, nil
}

// Obsolete returns the objects that an earlier installation with other options may have made and that one with these
// options does not have. The namespace is the same.
func Obsolete(files fs.FS, o Options) ([]*unstructured.Unstructured, error) {
	wanted, err := Render(files, o)
	if err != nil {
		return nil, err
	}

	o.Unrestricted, o.Rook = true, true

	possible, err := Render(files, o)
	if err != nil {
		return nil, err
	}

	return slices.DeleteFunc(possible, func(obj *unstructured.Unstructured) bool {
		return slices.ContainsFunc(wanted, func(w *unstructured.Unstructured) bool { return Name(w) == Name(obj) })
	}), nil
}

// Write writes the objects as one stream of YAML documents.
func Write(w io.Writer, objects []*unstructured.Unstructured) error {
	for _, obj := range objects {
		text, err := yaml.Marshal(obj.Object)
		if err != nil {
			return fmt.Errorf("encode %s: %w", Name(obj), err)
		}

		if _, err := fmt.Fprintf(w, "---\n%s", text); err != nil {
			return fmt.Errorf("write %s: %w", Name(obj), err)
		}
	}

	return nil
}

// Name is an object as people write it: clusterrole.rbac.authorization.k8s.io/lockstep-reload. The namespace is
// not part of it: an installation has one.
func Name(obj *unstructured.Unstructured) string {
	kind := obj.GroupVersionKind().GroupKind()

	return strings.ToLower(kind.String()) + "/" + obj.GetName()
}

func folders(files fs.FS, o Options) ([]string, error) {
	accepted, err := Dialects(files)
	if err != nil {
		return nil, err
	}

	if len(o.Dialects) == 0 {
		return nil, fmt.Errorf("no dialect is given: accepted are %s", strings.Join(accepted, ", "))
	}

	found := []string{managerFolder}

	for _, d := range o.Dialects {
		if !slices.Contains(accepted, d) {
			return nil, fmt.Errorf("unknown dialect %q: accepted are %s", d, strings.Join(accepted, ", "))
		}

		folder := path.Join(dialectsFolder, d)
		if slices.Contains(found, folder) {
			continue
		}

		found = append(found, folder, path.Join(folder, definitionsFolder))
		if o.Unrestricted {
			found = append(found, path.Join(folder, unrestrictedFolder))
		}

		if o.Rook {
			found = append(found, path.Join(folder, rookFolder))
		}
	}

	return found, nil
}

func read(files fs.FS, folder string) ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(files, folder+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the manifests in %s: %w", folder, err)
	}

	var objects []*unstructured.Unstructured

	for _, name := range names {
		found, err := readFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read manifest %s: %w", name, err)
		}

		objects = append(objects, found...)
	}

	return objects, nil
}

func readFile(files fs.FS, name string) ([]*unstructured.Unstructured, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the file
	}
	defer func() { _ = f.Close() }() // only read

	var objects []*unstructured.Unstructured

	const lookAhead = 4096
	for decoder := utilyaml.NewYAMLOrJSONDecoder(f, lookAhead); ; {
		obj := &unstructured.Unstructured{}

		err := decoder.Decode(&obj.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}

		if err != nil {
			return nil, err //nolint:wrapcheck // the caller names the file
		}

		if len(obj.Object) > 0 { // a document of comments alone
			objects = append(objects, obj)
		}
	}
}

// adapt makes an object of the manifests one of this installation.
func adapt(obj *unstructured.Unstructured, o Options) error {
	labels := obj.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}

	labels[managedByLabel] = managedByValue
	obj.SetLabels(labels)

	if obj.GetNamespace() == DefaultNamespace {
		obj.SetNamespace(o.Namespace)
	}

	if isNamespace(obj) && obj.GetName() == DefaultNamespace {
		obj.SetName(o.Namespace)
	}

	if err := adaptSubjects(obj, o.Namespace); err != nil {
		return err
	}

	if isManager(obj) {
		return adaptManager(obj, o)
	}

	return nil
}

func adaptSubjects(obj *unstructured.Unstructured, namespace string) error {
	subjects, found, err := unstructured.NestedSlice(obj.Object, "subjects")
	if err != nil {
		return fmt.Errorf("read its subjects: %w", err)
	}

	if !found {
		return nil
	}

	for _, s := range subjects {
		if subject, ok := s.(map[string]any); ok && subject["namespace"] == DefaultNamespace {
			subject["namespace"] = namespace
		}
	}

	if err := unstructured.SetNestedSlice(obj.Object, subjects, "subjects"); err != nil {
		return fmt.Errorf("set its subjects: %w", err)
	}

	return nil
}

func adaptManager(obj *unstructured.Unstructured, o Options) error {
	containers, _, err := unstructured.NestedSlice(obj.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return fmt.Errorf("read its containers: %w", err)
	}

	if len(containers) != 1 {
		return fmt.Errorf("it has %d containers: expected is one", len(containers))
	}

	container, ok := containers[0].(map[string]any)
	if !ok {
		return errors.New("its container is not an object")
	}

	container["image"] = o.Image
	// One leader at a time: while a new version takes over, the old one is still there.
	args := []any{
		"manager",
		"--dialects=" + strings.Join(o.Dialects, ","),
		"--namespace=" + o.Namespace,
		"--metrics-bind-address=:9090",
		"--leader-elect",
	}
	if o.Rook {
		args = append(args, "--live-rook=on")
	}

	container["args"] = args

	if err := unstructured.SetNestedSlice(obj.Object, containers, "spec", "template", "spec", "containers"); err != nil {
		return fmt.Errorf("set its containers: %w", err)
	}

	return nil
}

// rank orders what depends on what: a namespace before its content, a definition before what it defines, and
// the manager after everything that it needs.
func rank(obj *unstructured.Unstructured) int {
	const (
		namespaces = iota
		definitions
		others
		managers
	)

	switch {
	case isNamespace(obj):
		return namespaces
	case isDefinition(obj):
		return definitions
	case isManager(obj):
		return managers
	}

	return others
}

func isNamespace(obj *unstructured.Unstructured) bool {
	return obj.GroupVersionKind().GroupKind().String() == "Namespace"
}

func isDefinition(obj *unstructured.Unstructured) bool {
	return obj.GroupVersionKind().GroupKind().String() == "CustomResourceDefinition.apiextensions.k8s.io"
}

func isManager(obj *unstructured.Unstructured) bool {
	return obj.GroupVersionKind().GroupKind().String() == "Deployment.apps"
}
