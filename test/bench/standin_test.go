package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
)

// The words by which the test binary becomes a controller of known faults.
const (
	standInWord = "stand-in"
	faithful    = "faithful"
	faulty      = "faulty"
	grapher     = "grapher"
	deaf        = "deaf"
	settingAll  = "setter"
	restless    = "restless"
)

// TestMain lets the benchmark run this binary as the controller that it measures.
func TestMain(m *testing.M) {
	if len(os.Args) >= 3 && os.Args[1] == standInWord {
		if err := standInAs(ctrl.SetupSignalHandler(), os.Args[2], os.Args[3:]...); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func standInAs(ctx context.Context, word string, more ...string) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1
	switch {
	case word == grapher || word == deaf:
		return standInForGraphs(ctx, config, word == deaf)
	case len(more) == 1 && (word == settingAll || word == restless):
		return standInForSettings(ctx, config, word == restless, more[0])
	}
	return standIn(ctx, config, word == faulty)
}

// standIn carries changes of ConfigMaps and Secrets that it sees, one after the other, and knows nothing of those
// made while it was down. A faulty one misses every change of app-0003, rolls app-0005 twice, and lists for each
// label-only edit.
func standIn(ctx context.Context, config *rest.Config, faulty bool) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	configs, err := client.CoreV1().ConfigMaps("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("watch ConfigMaps: %w", err)
	}
	secrets, err := client.CoreV1().Secrets("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("watch Secrets: %w", err)
	}
	s := carrier{client: client, faulty: faulty, known: map[string]any{}}
	for {
		var event watch.Event
		select {
		case <-ctx.Done():
			return nil
		case event = <-configs.ResultChan():
		case event = <-secrets.ResultChan():
		}
		if err := s.take(ctx, event); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

type carrier struct {
	client kubernetes.Interface
	faulty bool
	// known is the last content seen of each source.
	known map[string]any
}

func (s *carrier) take(ctx context.Context, event watch.Event) error {
	var key string
	var content any
	var meta metav1.ObjectMeta
	switch object := event.Object.(type) {
	case *corev1.ConfigMap:
		key, content, meta = "CONFIGMAP/"+object.Namespace+"/"+object.Name, object.Data, object.ObjectMeta
	case *corev1.Secret:
		key, content, meta = "SECRET/"+object.Namespace+"/"+object.Name, object.Data, object.ObjectMeta
	}
	before := s.known[key]
	s.known[key] = content
	if event.Type != watch.Modified {
		return nil
	}
	if reflect.DeepEqual(before, content) {
		if s.faulty {
			_, err := s.client.AppsV1().Deployments(meta.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
			return err
		}
		return nil
	}
	return s.carry(ctx, meta, strings.HasPrefix(key, "SECRET/"))
}

func (s *carrier) carry(ctx context.Context, source metav1.ObjectMeta, all bool) error {
	names := []string{source.Name}
	if all {
		list, err := s.client.AppsV1().Deployments(source.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list workloads: %w", err)
		}
		names = nil
		for i := range list.Items {
			if list.Items[i].Name != probe {
				names = append(names, list.Items[i].Name)
			}
		}
	}
	for _, name := range names {
		values := []string{source.ResourceVersion}
		switch {
		case s.faulty && name == "app-0003":
			values = nil
		case s.faulty && name == "app-0005":
			values = append(values, source.ResourceVersion+"-again")
		}
		for _, value := range values {
			patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"SEEN","value":%q}]}]}}}}`,
				value)
			_, err := s.client.AppsV1().Deployments(source.Namespace).Patch(ctx, name, types.StrategicMergePatchType,
				[]byte(patch), metav1.PatchOptions{})
			if err != nil {
				return fmt.Errorf("patch %s: %w", name, err)
			}
		}
	}
	return nil
}
