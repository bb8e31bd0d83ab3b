package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// Admit returns the instance as the server would store it: with the defaults of its kind. What the server would refuse,
// fields that the kind does not have among it, is the error: *fieldpath.Error, joined. The instance is not changed. The
// context bounds how long the kind's own rules may take.
func Admit(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition, instance *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	internal, structural, err := schemaOf(crd)
	if err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", crd.Name, err)
	}

	admitted := instance.DeepCopy()
	delete(admitted.Object, "status")

	var errs []error

	if admitted.GetName() == "" {
		errs = append(errs, fieldpath.Errorf(fieldpath.Path{"metadata", "name"}, "an instance needs a name"))
	}

	pruned := pruning.PruneWithOptions(admitted.Object, structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range pruned {
		errs = append(errs, fieldpath.Errorf(parsePath(path), "unknown field"))
	}

	defaulting.PruneNonNullableNullsWithoutDefaults(admitted.Object, structural)
	defaulting.Default(admitted.Object, structural)

	validator, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", crd.Name, err)
	}

	wrong := validation.ValidateCustomResource(nil, admitted.Object, validator)
	wrong = append(wrong, listtype.ValidateListSetsAndMaps(nil, structural, admitted.Object)...)

	// Rules are for values of the right type.
	if rules := cel.NewValidator(structural, true, celconfig.PerCallLimit); rules != nil && len(wrong) == 0 {
		broken, _ := rules.Validate(ctx, nil, structural, admitted.Object, nil, celconfig.RuntimeCELCostBudget)
		wrong = append(wrong, broken...)
	}

	// The validator goes through maps.
	slices.SortStableFunc(wrong, func(a, b *field.Error) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Detail, b.Detail))
	})

	for _, w := range wrong {
		// The path stands in front already.
		message := strings.Replace(w.ErrorBody(), w.Field+" in body ", "", 1)
		errs = append(errs, &fieldpath.Error{Path: parsePath(w.Field), Offset: -1, Err: errors.New(message)})
	}

	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}

	return admitted, nil
}

// schemaOf is the schema of a definition with one version, in the two forms that the checks take.
func schemaOf(crd *apiextensionsv1.CustomResourceDefinition) (*apiextensions.JSONSchemaProps, *structuralschema.Structural, error) {
	if len(crd.Spec.Versions) != 1 || crd.Spec.Versions[0].Schema == nil {
		return nil, nil, fmt.Errorf("it has %d versions", len(crd.Spec.Versions))
	}

	internal := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		crd.Spec.Versions[0].Schema.OpenAPIV3Schema, internal, nil); err != nil {
		return nil, nil, fmt.Errorf("convert it: %w", err)
	}

	structural, err := structuralschema.NewStructural(internal)
	if err != nil {
		return nil, nil, fmt.Errorf("it is not structural: %w", err)
	}

	return internal, structural, nil
}

// step is a key, an index or a key in brackets.
var step = regexp.MustCompile(`[^.\[\]]+|\[[^\]]*\]`)

// parsePath reads a path as the server writes it. The document as a whole is nil.
func parsePath(text string) fieldpath.Path {
	var path fieldpath.Path

	if text == field.NewPath("").String() || text == "<nil>" {
		return nil
	}

	for _, s := range step.FindAllString(text, -1) {
		inner, bracketed := strings.CutPrefix(s, "[")
		inner = strings.TrimSuffix(inner, "]")

		if n, err := strconv.Atoi(inner); bracketed && err == nil {
			path = append(path, n)
		} else {
			path = append(path, inner)
		}
	}

	return path
}
