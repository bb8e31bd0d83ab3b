package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

func liveResource(name string) schema.GroupVersionResource {
	return lockstepv1alpha1.GroupVersion().WithResource(name)
}

// objectName is the name of what belongs to a store.
func objectName(store string) string { return strings.ToLower(store) }

// liveObject is an object of the dialect without a status.
func liveObject(object any, kind string) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("make a %s: %w", kind, err)
	}
	delete(content, "status")
	made := &unstructured.Unstructured{Object: content}
	made.SetGroupVersionKind(lockstepv1alpha1.GroupVersion().WithKind(kind))
	return made, nil
}

func (t *liveTurn) createSecret(ctx context.Context, name string, data map[string]string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	_, err := t.arena.driver.CoreV1().Secrets(liveNamespace).Create(ctx, secret, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create the Secret %s: %w", name, err)
	}
	return nil
}

// changeSecret gives the Secret of a LiveConfig another value.
func (t *liveTurn) changeSecret(ctx context.Context, name, text string) error {
	body := fmt.Appendf(nil, `{"stringData":{%q:%q}}`, liveKey, text)
	secrets := t.arena.driver.CoreV1().Secrets(liveNamespace)
	if _, err := secrets.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("change the Secret %s: %w", name, err)
	}
	return nil
}

// createConfig makes a LiveConfig of one setting, with a Secret of the same name that has the value.
func (t *liveTurn) createConfig(
	ctx context.Context, name, store string, setting lockstepv1alpha1.LiveSetting, text string,
) error {
	if err := t.createSecret(ctx, name, map[string]string{liveKey: text}); err != nil {
		return err
	}
	setting.ValueFrom = &lockstepv1alpha1.ValueSource{SecretKeyRef: &lockstepv1alpha1.KeyReference{Name: name, Key: liveKey}}
	config, err := liveObject(&lockstepv1alpha1.LiveConfig{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: lockstepv1alpha1.LiveConfigSpec{
			StoreRef: &lockstepv1alpha1.StoreReference{Name: store}, Settings: []lockstepv1alpha1.LiveSetting{setting},
		},
	}, "LiveConfig")
	if err != nil {
		return err
	}
	return t.make(ctx, liveResource("liveconfigs"), liveNamespace, config)
}

// numbers reads the controller's own metrics; nil when it has none that can be read.
func (t *liveTurn) numbers(ctx context.Context) (series, error) {
	if t.subject.metrics == "" {
		return nil, nil //nolint:nilnil // nil is that there are none
	}
	return scrape(ctx, http.DefaultTransport, "http://"+t.subject.metrics+"/metrics")
}

// storeRequests are the requests to stores that a controller counts itself, by what was asked.
type storeRequests map[string]float64

// requestProbe is the one that may go on for ever.
const requestProbe = "probe"

// storeRequests adds up the requests to all stores since the earlier numbers; nil when there are no numbers.
func (s series) storeRequests(earlier series) storeRequests {
	if s == nil {
		return nil
	}
	sums := storeRequests{}
	for name, n := range s {
		labels, counts := strings.CutPrefix(name, "lockstep_live_store_requests_total{")
		if _, what, found := strings.Cut(labels, `what="`); counts && found {
			what, _, _ = strings.Cut(what, `"`)
			sums[what] += n - earlier[name]
		}
	}
	return sums
}

// busy is the number of requests that are not probes.
func (r storeRequests) busy() float64 {
	var sum float64
	for what, n := range r {
		if what != requestProbe {
			sum += n
		}
	}
	return sum
}

// verified is the mean time, in milliseconds, from the event of a source until its values were read back from a store of a
// type, since the earlier numbers; nil when there was none.
func (s series) verified(earlier series, of lockstepv1alpha1.StoreType) *float64 {
	const name = "lockstep_live_propagation_seconds"
	label := label("store_type", string(of))
	count := s.of(name+"_count", label) - earlier.of(name+"_count", label)
	if count <= 0 {
		return nil
	}
	mean := (s.of(name+"_sum", label) - earlier.of(name+"_sum", label)) / count * float64(time.Second/time.Millisecond)
	return &mean
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
