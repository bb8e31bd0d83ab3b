package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
	"github.com/lockstep-dev/lockstep/internal/target/store/etcd"
	"github.com/lockstep-dev/lockstep/internal/target/store/mysql"
	"github.com/lockstep-dev/lockstep/internal/target/store/postgres"
	"github.com/lockstep-dev/lockstep/internal/target/store/redis"
)

// restlessPause is the time between two needless reads. It is longer than the test's calm, or no phase would end.
const restlessPause = 700 * time.Millisecond

// setter serves the LiveConfigs of the benchmark and no others: one setting with a Secret, one after the other. A restless
// one asks Redis and the API again and again, writes every status when it starts, and forgets every change of MariaDB.
type setter struct {
	client   dynamic.Interface
	restless bool
	events   chan watch.Event
	sessions map[string]store.Session
	configs  map[string]*lockstepv1alpha1.LiveConfig
	// revisions of configs, of which a setter that is started again knows what the status says.
	revisions map[string]int64

	// mu guards what the metrics tell.
	mu       sync.Mutex
	requests map[string]int
	took     map[lockstepv1alpha1.StoreType][]time.Duration
}

func standInForSettings(ctx context.Context, config *rest.Config, restless bool, metrics string) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	s := &setter{
		client: client, restless: restless, events: make(chan watch.Event), sessions: map[string]store.Session{},
		configs: map[string]*lockstepv1alpha1.LiveConfig{}, revisions: map[string]int64{}, requests: map[string]int{},
		took: map[lockstepv1alpha1.StoreType][]time.Duration{},
	}
	served := make(chan error, 1)
	go func() { served <- s.serve(metrics) }()
	if err := s.connect(ctx); err != nil {
		return err
	}
	for _, resource := range []string{"secrets", "liveconfigs"} {
		at := liveResource(resource)
		if resource == "secrets" {
			at.Group, at.Version = "", "v1"
		}
		w, err := client.Resource(at).Namespace(liveNamespace).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("watch %s: %w", resource, err)
		}
		go func() {
			for event := range w.ResultChan() {
				s.events <- event
			}
		}()
	}
	return s.run(ctx, served)
}

func (s *setter) run(ctx context.Context, served <-chan error) error {
	ticker := time.NewTicker(restlessPause)
	defer ticker.Stop()
	if !s.restless {
		ticker.Stop()
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err = <-served:
		case event := <-s.events:
			err = s.take(ctx, event)
		case <-ticker.C:
			_, err = s.read(ctx, objectName(redisName), live.Setting{Name: redisSetting})
			if err == nil {
				_, err = s.client.Resource(liveResource("livestores")).Namespace(liveNamespace).List(ctx, metav1.ListOptions{})
			}
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// connect opens a session with each store and says so in its status.
func (s *setter) connect(ctx context.Context) error {
	drivers := map[lockstepv1alpha1.StoreType]store.Driver{}
	for _, d := range []store.Driver{ceph.Driver(clock.RealClock{}), etcd.Driver(), mysql.Driver(), postgres.Driver(), redis.Driver()} {
		drivers[d.Type] = d
	}
	list, err := s.client.Resource(liveResource("livestores")).Namespace(liveNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list LiveStores: %w", err)
	}
	for i := range list.Items {
		var l lockstepv1alpha1.LiveStore
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &l); err != nil {
			return err
		}
		login, err := s.secret(ctx, l.Spec.Credentials.SecretName)
		if err != nil {
			return err
		}
		session, err := drivers[l.Spec.Type].Open(ctx, store.Target{
			Endpoints: l.Spec.Endpoints, Username: login["username"], Password: login["password"], Connect: time.Minute, Command: time.Minute,
		})
		if err != nil {
			return fmt.Errorf("open %s: %w", l.Name, err)
		}
		s.sessions[l.Name] = session
		if isTrue("Ready")(&list.Items[i]) {
			continue
		}
		if err := s.tell(ctx, "livestores", l.Name, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *setter) secret(ctx context.Context, name string) (map[string]string, error) {
	at := liveResource("secrets")
	at.Group, at.Version = "", "v1"
	object, err := s.client.Resource(at).Namespace(liveNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return secretData(object), nil
}

// tell writes that an object is ready.
func (s *setter) tell(ctx context.Context, resource, name string, revision *int64) error {
	more := ""
	if revision != nil {
		more = fmt.Sprintf(`"revision":%d,`, *revision)
	}
	body := fmt.Sprintf(`{"status":{%s"conditions":[{"type":"Ready","status":"True","reason":"StandIn","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, more)
	_, err := s.client.Resource(liveResource(resource)).Namespace(liveNamespace).
		Patch(ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{}, "status")
	return err
}

func (s *setter) take(ctx context.Context, event watch.Event) error {
	object, ok := event.Object.(*unstructured.Unstructured)
	if !ok {
		return apierrors.FromObject(event.Object)
	}
	name, began := object.GetName(), time.Now()
	switch {
	case object.GetKind() == "LiveConfig" && event.Type == watch.Added:
		config := &lockstepv1alpha1.LiveConfig{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, config); err != nil {
			return err
		}
		s.configs[name], s.revisions[name] = config, config.Status.Revision
		if config.Status.Revision > 0 && !s.restless {
			return nil
		}
		data, err := s.secret(ctx, name)
		if err != nil {
			return err
		}
		return s.set(ctx, config, data[liveKey], began)
	case object.GetKind() == "Secret" && event.Type == watch.Modified && s.configs[name] != nil:
		if s.restless && name == objectName(mariadbName) {
			return nil
		}
		return s.set(ctx, s.configs[name], secretData(object)[liveKey], began)
	}
	return nil
}

// set carries a value to its store, reads it back, and writes the status.
func (s *setter) set(ctx context.Context, config *lockstepv1alpha1.LiveConfig, text string, began time.Time) error {
	asked, name := config.Spec.Settings[0], config.Spec.StoreRef.Name
	setting := live.Setting{Who: asked.Who, Prefix: asked.Prefix, Name: asked.Name}
	s.count("apply")
	if err := s.sessions[name].Apply(ctx, []live.Change{{Setting: setting, To: live.Text(text)}}); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	state, err := s.read(ctx, name, setting)
	if err != nil {
		return err
	}
	if state.Rule == nil || !state.Rule.Same(state.Stored.Text, text) {
		return errors.New("the store does not have the value")
	}
	s.mu.Lock()
	of := map[string]lockstepv1alpha1.StoreType{
		objectName(cephName): lockstepv1alpha1.StoreCeph, objectName(redisName): lockstepv1alpha1.StoreRedis,
	}[name]
	s.took[of] = append(s.took[of], time.Since(began))
	s.mu.Unlock()
	s.revisions[config.Name]++
	revision := s.revisions[config.Name]
	return s.tell(ctx, "liveconfigs", config.Name, &revision)
}

func (s *setter) read(ctx context.Context, name string, setting live.Setting) (live.State, error) {
	s.count("read")
	states, err := s.sessions[name].Read(ctx, []live.Setting{setting})
	if err != nil {
		return live.State{}, fmt.Errorf("read: %w", err)
	}
	return states[0], nil
}

func (s *setter) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[what]++
}

// serve serves the metrics that the benchmark reads.
func (s *setter) serve(address string) error {
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for what, n := range s.requests {
			_, _ = fmt.Fprintf(w, "lockstep_live_store_requests_total{store_type=\"any\",what=%q} %d\n", what, n)
		}
		for of, all := range s.took {
			var sum time.Duration
			for _, one := range all {
				sum += one
			}
			_, _ = fmt.Fprintf(w, "lockstep_live_propagation_seconds_sum{store_type=%q} %g\n", of, sum.Seconds())
			_, _ = fmt.Fprintf(w, "lockstep_live_propagation_seconds_count{store_type=%q} %d\n", of, len(all))
		}
	}))
}

func secretData(object *unstructured.Unstructured) map[string]string {
	var secret corev1.Secret
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &secret); err != nil {
		return nil
	}
	data := map[string]string{}
	for key, value := range secret.Data {
		data[key] = string(value)
	}
	return data
}
