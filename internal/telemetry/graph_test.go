package telemetry_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

func shops() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "kro.run", Version: "v1alpha1", Resource: "shops"}
}

func newGraph(t *testing.T) (*telemetry.Graph, *prometheus.Registry) {
	t.Helper()

	reg := prometheus.NewPedanticRegistry()

	g, err := telemetry.NewGraph(reg)
	if err != nil {
		t.Fatal(err)
	}

	return g, reg
}

// everyGraphMetric moves every metric once, so that each has a child.
func everyGraphMetric(g *telemetry.Graph) {
	g.Propagated(20 * time.Millisecond)
	g.Wrote(telemetry.WriteApply)
	g.Wrote(telemetry.WriteDelete)
	g.Wrote(telemetry.WriteInstance)
	g.Wrote(telemetry.WriteStatus)
	g.Passed(shops(), time.Millisecond, nil)
	g.Passed(shops(), time.Millisecond, errors.New("no room"))
	g.StateChanged(shops(), "IN_PROGRESS", "ACTIVE")
	g.Built("shop", time.Millisecond, nil)
	g.Built("shop", time.Millisecond, errors.New("no such field"))
}

func TestGraphExposition_Section11AllNamesTypesLabelsAndBuckets(t *testing.T) {
	t.Parallel()

	g, reg := newGraph(t)
	everyGraphMetric(g)
	golden(t, reg, "graph.golden")
}

func TestGraphLint_EveryNameFollowsTheConventions(t *testing.T) {
	t.Parallel()

	g, reg := newGraph(t)
	everyGraphMetric(g)

	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("got error %v and problems %v", err, problems)
	}
}

func TestGraph_Section11FailedPassesAndBuildsCountTwice(t *testing.T) {
	t.Parallel()

	g, reg := newGraph(t)
	everyGraphMetric(g)

	for name, want := range map[string]float64{
		"instance_reconcile_total": 2, "instance_reconcile_errors_total": 1,
		"rgd_graph_build_total": 2, "rgd_graph_build_errors_total": 1,
	} {
		if got := counted(t, reg, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestGraphForget_LeavesNoSeriesOfADefinitionThatIsGone(t *testing.T) {
	t.Parallel()

	g, reg := newGraph(t)
	everyGraphMetric(g)
	g.Built("other", time.Millisecond, nil)
	g.Forget("shop", shops())

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	var left []string
	for _, f := range families {
		left = append(left, f.GetName())
	}

	want := []string{
		"lockstep_graph_status_propagation_seconds", "lockstep_graph_writes_total",
		"rgd_graph_build_duration_seconds", "rgd_graph_build_total",
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("metrics with a series (-want +got):\n%s", diff)
	}
}

func TestNewGraph_SaysSoWhenANameIsTaken(t *testing.T) {
	t.Parallel()

	_, reg := newGraph(t)

	_, err := telemetry.NewGraph(reg)
	if _, taken := errors.AsType[prometheus.AlreadyRegisteredError](err); !taken {
		t.Errorf("got error %v, want one that wraps AlreadyRegisteredError", err)
	}
}

// counted is the sum of a counter's series.
func counted(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	sum := 0.0

	for _, f := range families {
		if f.GetName() != name {
			continue
		}

		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}

	return sum
}
