package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
)

// deployment is one with the generation and the image, as of the version.
func deployment(name, version string, generation int64, image string) *appsv1.Deployment {
	replicas := int32(1)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version, Generation: generation},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}},
		},
	}
}

func newObserver() *observer {
	return &observer{clock: clock.RealClock{}, seen: map[string]*sighting{}, news: make(chan struct{})}
}

func TestOnlyAnotherTemplateIsAChange(t *testing.T) {
	t.Parallel()
	o := newObserver()
	now := time.Unix(1700000000, 0)
	for i, d := range []*appsv1.Deployment{
		deployment("a", "1", 1, "v1"), // first seen
		deployment("a", "2", 1, "v1"), // status
		deployment("a", "3", 2, "v1"), // scaled
		deployment("a", "4", 3, "v2"), // rolled
		deployment("b", "5", 1, "v1"),
		deployment("a", "6", 4, "v3"), // rolled
	} {
		o.note(d, now.Add(time.Duration(i)*time.Second))
	}
	if diff := cmp.Diff(mark{"a": 2, "b": 0}, o.mark()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if at, seen := o.first("a", mark{"a": 1}); !seen || !at.Equal(now.Add(5*time.Second)) {
		t.Errorf("first change after the mark: %v, %v, want the last event", at, seen)
	}
	if _, seen := o.first("b", mark{}); seen {
		t.Error("a change of b was seen")
	}
}

func TestAWatchThatTheServerEndsIsContinuedWhereItEnded(t *testing.T) {
	t.Parallel()
	o := newObserver()
	first, second := watch.NewRaceFreeFake(), watch.NewRaceFreeFake()
	first.Add(deployment("a", "7", 1, "v1"))
	first.Stop()
	second.Modify(deployment("a", "8", 2, "v2"))
	second.Action(watch.Error, &metav1.Status{Message: "too old"})
	var versions []string
	o.follow(first, func(version string) (watch.Interface, error) {
		versions = append(versions, version)
		if len(versions) > 1 {
			return nil, errors.New("asked again")
		}
		return second, nil
	})
	if diff := cmp.Diff([]string{"7"}, versions); diff != "" {
		t.Errorf("opened again at (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(mark{"a": 1}, o.mark()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if _, err := o.changed(t.Context(), []string{"b"}, nil, time.Hour); err == nil || err.Error() != "too old" {
		t.Errorf("error %v, want the one that the server sent", err)
	}
}

func TestPatienceIsCountedFromTheLastProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newObserver()
		for _, name := range []string{"a", "b", "c"} {
			o.note(deployment(name, "1", 1, "v1"), time.Now())
		}
		begun := time.Now()
		for i, name := range []string{"a", "b"} {
			time.AfterFunc(time.Duration(i+1)*8*time.Second, func() { o.note(deployment(name, "2", 2, "v2"), time.Now()) })
		}
		left, err := o.changed(t.Context(), []string{"a", "b", "c"}, mark{}, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"c"}, left); diff != "" {
			t.Errorf("missing (-want +got):\n%s", diff)
		}
		if took := time.Since(begun); took != 26*time.Second {
			t.Errorf("it took %s, want 10s after the second change at 16s", took)
		}
	})
}

func TestAWorkloadIsRolledOutWhenNothingOfAnOlderTemplateIsLeft(t *testing.T) {
	t.Parallel()
	done := appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	cases := map[string]struct {
		change func(*appsv1.DeploymentStatus)
		want   bool
	}{
		"everything is new and available":  {change: func(*appsv1.DeploymentStatus) {}, want: true},
		"the change has not been seen yet": {change: func(s *appsv1.DeploymentStatus) { s.ObservedGeneration = 1 }},
		"an old pod is left":               {change: func(s *appsv1.DeploymentStatus) { s.Replicas = 2 }},
		"the new pod has not been made":    {change: func(s *appsv1.DeploymentStatus) { s.UpdatedReplicas = 0 }},
		"the new pod is not available yet": {change: func(s *appsv1.DeploymentStatus) { s.AvailableReplicas = 0 }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment("a", "1", 2, "v1")
			d.Status = done
			c.change(&d.Status)
			if got := rolledOut(d); got != c.want {
				t.Errorf("rolledOut = %v, want %v", got, c.want)
			}
		})
	}
}

func TestChangesAreJudgedAgainstWhatWasExpected(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		before, after    mark
		expected         []string
		missed, spurious int
	}{
		"each once is right":               {before: mark{"a": 3}, after: mark{"a": 4, "b": 1}, expected: []string{"a", "b"}},
		"none is missed":                   {before: mark{"a": 3}, after: mark{"a": 3, "b": 1}, expected: []string{"a", "b"}, missed: 1},
		"a second one is spurious":         {before: mark{}, after: mark{"a": 3}, expected: []string{"a"}, spurious: 2},
		"one without cause is spurious":    {before: mark{}, after: mark{"a": 1, "b": 1}, expected: []string{"b"}, spurious: 1},
		"two changes of one need two":      {before: mark{}, after: mark{"a": 1}, expected: []string{"a", "a"}, missed: 1},
		"one does not make up for another": {before: mark{}, after: mark{"a": 2, "b": 0}, expected: []string{"a", "b"}, missed: 1, spurious: 1},
		"the probe does not count":         {before: mark{}, after: mark{probe: 5}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			missed, spurious := judge(c.before, c.after, c.expected)
			if missed != c.missed || spurious != c.spurious {
				t.Errorf("judge = %d missed, %d spurious, want %d and %d", missed, spurious, c.missed, c.spurious)
			}
		})
	}
}
