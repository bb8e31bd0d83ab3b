package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// A record is an immutable Secret that a LiveConfig owns: what a revision asks for, and what was there before everything.
const (
	recordLabel = "lockstep.dev/record"
	recordValue = "live-revision"
	recordInfix = "-live-"
	recordField = "revision"
	recordKind  = "LiveConfig"
	recordType  = "lockstep.dev/live-revision"
)

func recordName(config string, revision int64) string {
	return config + recordInfix + strconv.FormatInt(revision, 10)
}

// ownerOf is the LiveConfig whose record a Secret is; empty for one that is none.
func ownerOf(o client.Object) types.UID {
	owner := metav1.GetControllerOf(o)
	if o.GetLabels()[recordLabel] != recordValue || owner == nil || owner.Kind != recordKind {
		return ""
	}

	return owner.UID
}

// records say which revisions of each LiveConfig have a record, and whose it is: one of the same name may have been there
// before. It is safe for concurrent use.
type records struct {
	mu  sync.Mutex
	all map[types.NamespacedName]map[int64]types.UID
}

func newRecords() *records { return &records{all: map[types.NamespacedName]map[int64]types.UID{}} }

// seen takes note of a record that is there, or with no owner that is gone.
func (r *records) seen(secret types.NamespacedName, owner types.UID) {
	i := strings.LastIndex(secret.Name, recordInfix)
	if i < 0 {
		return
	}

	revision, err := strconv.ParseInt(secret.Name[i+len(recordInfix):], 10, 64)
	if err != nil {
		return
	}

	config := types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name[:i]}

	r.mu.Lock()
	defer r.mu.Unlock()

	known := r.all[config]

	switch {
	case owner != "" && known == nil:
		r.all[config] = map[int64]types.UID{revision: owner}
	case owner != "":
		known[revision] = owner
	default:
		delete(known, revision)

		if len(known) == 0 {
			delete(r.all, config)
		}
	}
}

// of returns the revisions of a LiveConfig that have a record, the newest last.
func (r *records) of(config *lockstepv1alpha1.LiveConfig) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()

	var revisions []int64

	for revision, owner := range r.all[client.ObjectKeyFromObject(config)] {
		if owner == config.UID {
			revisions = append(revisions, revision)
		}
	}

	slices.Sort(revisions)

	return revisions
}

// record reads a revision; the zero record when there is none. One of a LiveConfig that had the name before is none: the
// server deletes it some time after its owner.
func (c *Controller) record(ctx context.Context, owner *lockstepv1alpha1.LiveConfig, revision int64) (live.Record, error) {
	if revision == 0 {
		return live.Record{}, nil
	}

	key := types.NamespacedName{Namespace: owner.Namespace, Name: recordName(owner.Name, revision)}

	var secret corev1.Secret
	if err := c.Client.Get(ctx, key, &secret); err != nil {
		return live.Record{}, fmt.Errorf("read the record of revision %d, Secret %s: %w", revision, key, err)
	}

	if !metav1.IsControlledBy(&secret, owner) {
		return live.Record{}, nil
	}

	r, err := live.DecodeRecord(secret.Data[recordField])
	if err != nil {
		return r, fmt.Errorf("read the record of revision %d, Secret %s: %w", revision, key, err)
	}

	return r, nil
}

// errTaken says that a Secret of somebody else has the name of a record.
var errTaken = errors.New("a Secret of this name is there already")

// keep writes a record. The error is errTaken when its name is not free.
func (c *Controller) keep(ctx context.Context, owner *lockstepv1alpha1.LiveConfig, r live.Record) error {
	content, err := r.Encode()
	if err != nil {
		return err
	}

	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.Namespace, Name: recordName(owner.Name, r.Revision),
			Labels: map[string]string{recordLabel: recordValue, "app.kubernetes.io/managed-by": "lockstep"},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(owner, lockstepv1alpha1.GroupVersion().WithKind(recordKind)),
			},
		},
		Type: recordType, Immutable: new(true),
		Data: map[string][]byte{recordField: content},
	}

	err = c.Client.Create(ctx, secret.DeepCopy())
	if apierrors.IsAlreadyExists(err) {
		return errTaken
	}

	if err != nil {
		return fmt.Errorf("write the record of revision %d, Secret %s/%s: %w", r.Revision, secret.Namespace, secret.Name, discreet(err))
	}

	c.records.seen(client.ObjectKeyFromObject(secret), owner.UID)

	return nil
}

// remove deletes a record.
func (c *Controller) remove(ctx context.Context, config types.NamespacedName, revision int64) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: config.Namespace, Name: recordName(config.Name, revision),
	}}

	if err := c.Client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the record of revision %d, Secret %s/%s: %w", revision, secret.Namespace, secret.Name, err)
	}

	c.records.seen(client.ObjectKeyFromObject(secret), "")

	return nil
}

// errNotAccepted is a server's refusal without its text.
var errNotAccepted = errors.New("the server does not accept it")

// discreet is a server's error about a Secret without what it may quote of it: a validation error has the value.
func discreet(err error) error {
	if apierrors.ReasonForError(err) != metav1.StatusReasonInvalid {
		return err
	}

	return errNotAccepted
}
