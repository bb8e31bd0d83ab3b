package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/apply"
)

var errName = errors.New("the object needs a name that can stand in a URL")

// Objects writes objects of any kind, each write in the name of the owner (the field manager) that the caller gives.
// It keeps nothing, retries nothing, and is safe for concurrent use. The errors of the server can be matched with the
// functions of k8s.io/apimachinery/pkg/api/errors; those about a Secret name fields, not values.
type Objects struct {
	client rest.Interface
	// user is whom it acts as; empty for the configuration's own.
	user string
}

// Option changes one write.
type Option func(*write)

// write is one request.
type write struct {
	verb        string
	resource    schema.GroupVersionResource
	key         types.NamespacedName
	subresource string
	owner       string
	forced      bool
	dryRun      bool
	discreet    bool
}

// DryRun makes the server answer as if it wrote, and write nothing.
func DryRun() Option { return func(w *write) { w.dryRun = true } }

// Discreet has errors name fields, not values: the object has something of a Secret in it.
func Discreet() Option { return func(w *write) { w.discreet = true } }

// NewObjects returns a writer with the rights and the limits of the configuration. It sends nothing yet.
func NewObjects(config *rest.Config) (*Objects, error) {
	config = dynamic.ConfigFor(config)
	config.GroupVersion = nil
	config.APIPath = "/" // every request says its own

	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for objects: %w", err)
	}

	client, err := rest.UnversionedRESTClientForConfigAndClient(config, transport)
	if err != nil {
		return nil, fmt.Errorf("make a client for objects: %w", err)
	}

	return &Objects{client: client}, nil
}

// As returns a writer that acts as the ServiceAccount and has its rights alone; the configuration needs the right to
// impersonate it. It shares connections and limits with the receiver, costs nothing and need not be kept.
func (o *Objects) As(namespace, serviceAccount string) *Objects {
	return &Objects{client: o.client, user: "system:serviceaccount:" + namespace + ":" + serviceAccount}
}

// Apply applies the object (server-side apply), takes over fields that others own, and returns the server's answer. An
// object with a uid is only applied to the object with that uid, and never created: else the error is a Conflict, or
// Invalid where another object has the name.
func (o *Objects) Apply(
	ctx context.Context, resource schema.GroupVersionResource, obj *unstructured.Unstructured, owner string, options ...Option,
) (*unstructured.Unstructured, error) {
	w := write{verb: "apply", resource: resource, key: keyOf(obj), owner: owner, forced: true}

	request, err := apply.NewRequest(o.client, obj.Object)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", w.object(), err)
	}

	return o.send(ctx, request, w, options)
}

// UpdateStatus replaces the status of the object by that of obj. With a resourceVersion in obj it does so in that
// version alone: else the error is a Conflict.
func (o *Objects) UpdateStatus(
	ctx context.Context, resource schema.GroupVersionResource, obj *unstructured.Unstructured, owner string, options ...Option,
) (*unstructured.Unstructured, error) {
	w := write{verb: "update the status of", resource: resource, key: keyOf(obj), subresource: "status", owner: owner}

	return o.send(ctx, o.client.Put().Body(obj), w, options)
}

// Patch merges the patch into the object (a JSON merge patch). With a metadata.resourceVersion it does so in that
// version alone: else the error is a Conflict.
func (o *Objects) Patch(
	ctx context.Context, resource schema.GroupVersionResource, key types.NamespacedName, patch map[string]any, owner string,
	options ...Option,
) (*unstructured.Unstructured, error) {
	w := write{verb: "patch", resource: resource, key: key, owner: owner}

	body, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encode the patch of %s: %w", w.object(), err)
	}

	return o.send(ctx, o.client.Patch(types.MergePatchType).Body(body), w, options)
}

// Get reads an object from the server.
func (o *Objects) Get(
	ctx context.Context, resource schema.GroupVersionResource, key types.NamespacedName,
) (*unstructured.Unstructured, error) {
	return o.send(ctx, o.client.Get(), write{verb: "get", resource: resource, key: key}, nil)
}

// Delete deletes the object with that uid (any, if it is empty), and what it owns in the background. Gone says that
// there is no such object any more; else it has a time of deletion, and something to wait for.
func (o *Objects) Delete(
	ctx context.Context, resource schema.GroupVersionResource, key types.NamespacedName, uid types.UID, options ...Option,
) (gone bool, err error) {
	w := write{verb: "delete", resource: resource, key: key}
	deletion := &metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}

	if uid != "" {
		deletion.Preconditions = &metav1.Preconditions{UID: &uid}
	}

	request, err := o.prepare(o.client.Delete().Body(deletion), &w, options)
	if err != nil {
		return false, err
	}

	result := request.Do(ctx)

	switch err := result.Error(); {
	case apierrors.IsNotFound(err):
		return true, nil
	case apierrors.IsConflict(err) && uid != "":
		return o.replaced(ctx, resource, key, uid, w.failed(err))
	case err != nil:
		return false, w.failed(err)
	}

	// The answer is a status or, depending on the kind, the object as it was when nothing was left of it.
	var answer metav1.PartialObjectMetadata

	body, err := result.Raw()
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}

	if err != nil {
		return false, w.failed(err)
	}

	return !w.dryRun && (answer.Kind == "Status" || answer.DeletionTimestamp == nil), nil
}

// replaced tells an object with another uid from any other conflict.
func (o *Objects) replaced(
	ctx context.Context, resource schema.GroupVersionResource, key types.NamespacedName, uid types.UID, conflict error,
) (gone bool, err error) {
	obj, err := o.Get(ctx, resource, key)

	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, err
	case obj.GetUID() != uid:
		return true, nil
	default:
		return false, conflict
	}
}

func (o *Objects) send(ctx context.Context, request *rest.Request, w write, options []Option) (*unstructured.Unstructured, error) {
	request, err := o.prepare(request, &w, options)
	if err != nil {
		return nil, err
	}

	answer := &unstructured.Unstructured{}
	if err := request.Do(ctx).Into(answer); err != nil {
		return nil, w.failed(err)
	}

	return answer, nil
}

func (o *Objects) prepare(request *rest.Request, w *write, options []Option) (*rest.Request, error) {
	// Without a name, or with one that is a path, it would be a request for something else.
	wrong := slices.Concat(rest.IsValidPathSegmentName(w.key.Name), rest.IsValidPathSegmentName(w.key.Namespace))
	if w.key.Name == "" || len(wrong) > 0 {
		return nil, fmt.Errorf("%s %s: %w", w.verb, w.object(), errName)
	}

	for _, option := range options {
		option(w)
	}

	request.AbsPath(w.path()...)

	if o.user != "" {
		request.SetHeader("Impersonate-User", o.user)
	}

	if w.owner != "" {
		request.Param("fieldManager", w.owner)
	}

	if w.forced {
		request.Param("force", "true")
	}

	if w.dryRun {
		request.Param("dryRun", metav1.DryRunAll)
	}

	return request, nil
}

func (w *write) path() []string {
	path := []string{"apis", w.resource.Group, w.resource.Version}
	if w.resource.Group == "" {
		path = []string{"api", w.resource.Version}
	}

	if w.key.Namespace != "" {
		path = append(path, "namespaces", w.key.Namespace)
	}

	path = append(path, w.resource.Resource, w.key.Name)
	if w.subresource != "" {
		path = append(path, w.subresource)
	}

	return path
}

func (w *write) object() string {
	return w.resource.GroupResource().String() + " " + strings.TrimPrefix(w.key.String(), "/")
}

// failed says what failed, for which object. The server quotes what it refuses; of a Secret, only the names of the
// fields are passed on.
func (w *write) failed(err error) error {
	if w.discreet || w.resource.Group == "" && w.resource.Resource == "secrets" {
		err = withoutValues(err)
	}

	return fmt.Errorf("%s %s: %w", w.verb, w.object(), err)
}

func withoutValues(err error) error {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || slices.Contains([]metav1.StatusReason{
		metav1.StatusReasonNotFound, metav1.StatusReasonForbidden, metav1.StatusReasonUnauthorized,
		metav1.StatusReasonConflict, metav1.StatusReasonTooManyRequests, metav1.StatusReasonServerTimeout,
	}, status.Status().Reason) {
		return err
	}

	shown := status.Status()
	shown.Message = "the server refuses the object, of which no value is shown: " + cmp.Or(string(shown.Reason), http.StatusText(int(shown.Code)))

	if shown.Details != nil {
		details := *shown.Details
		details.Causes = nil

		for _, cause := range shown.Details.Causes {
			details.Causes = append(details.Causes, metav1.StatusCause{Type: cause.Type, Field: cause.Field})
			shown.Message += fmt.Sprintf(" %s (%s)", cause.Field, cause.Type)
		}

		shown.Details = &details
	}

	return &apierrors.StatusError{ErrStatus: shown}
}

func keyOf(obj *unstructured.Unstructured) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
}
