package telemetry_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// everything moves every metric once, so that each has a child.
func everything(r *telemetry.Reload) {
	r.Executed("payments", true)
	r.Reconciled(telemetry.OutcomeSuccess, time.Second)
	r.Reconciled(telemetry.OutcomeError, time.Second)
	r.Reconciled(telemetry.OutcomeSkipped, time.Second)
	r.Action("Deployment", true, 20*time.Millisecond)
	r.Action("Deployment", false, 20*time.Millisecond)
	r.Skipped(telemetry.SkipIgnored)
	r.Skipped(telemetry.SkipNoDataChange)
	r.Skipped(telemetry.SkipNotUpdated)
	r.Failed()
	r.Received(telemetry.ObjectAdded, telemetry.ConfigMaps)
	r.Received(telemetry.ObjectUpdated, telemetry.Secrets)
	r.Received(telemetry.ObjectDeleted, telemetry.Namespaces)
	r.Received(telemetry.ObjectUpdated, telemetry.SecretProviderClassPodStatuses)
	r.Processed(telemetry.Secrets, true)
	r.Processed(telemetry.Secrets, false)
	r.Scanned("Deployment", 3)
	r.Matched("Deployment", 2)
	r.Propagated(20 * time.Millisecond)
	r.Pending(1)
	r.Dropped("slack")
}

func TestExposition_Section15AllNamesTypesLabelsAndBuckets(t *testing.T) {
	t.Parallel()

	reg := prometheus.NewPedanticRegistry()

	r, err := telemetry.NewReload(reg, telemetry.Options{CountByNamespace: true})
	if err != nil {
		t.Fatal(err)
	}

	everything(r)

	golden(t, reg, "exposition.golden")
}

// golden compares what a registry exposes with a file.
func golden(t *testing.T, reg *prometheus.Registry, name string) {
	t.Helper()

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	file := filepath.Join("testdata", name)
	got := outline(families)

	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("exposition (-want +got):\n%s", diff)
	}
}

// outline writes a line for each child: name, type, labels and the bounds of its buckets.
func outline(families []*dto.MetricFamily) string {
	var b strings.Builder

	for _, f := range families {
		for _, m := range f.GetMetric() {
			b.WriteString(f.GetName() + " " + strings.ToLower(f.GetType().String()))

			for _, l := range m.GetLabel() {
				b.WriteString(" " + l.GetName() + "=" + l.GetValue())
			}

			for _, bucket := range m.GetHistogram().GetBucket() {
				b.WriteString(" " + time.Duration(bucket.GetUpperBound()*float64(time.Second)).String())
			}

			b.WriteString("\n")
		}
	}

	return b.String()
}

func TestExposition_Section15BeforeAnythingHappened(t *testing.T) {
	t.Parallel()

	reg := prometheus.NewPedanticRegistry()
	if _, err := telemetry.NewReload(reg, telemetry.Options{}); err != nil {
		t.Fatal(err)
	}

	const want = `
# HELP reloader_reload_executed_total Reloads that were tried.
# TYPE reloader_reload_executed_total counter
reloader_reload_executed_total{success="false"} 0
reloader_reload_executed_total{success="true"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "reloader_reload_executed_total",
		"reloader_reload_executed_total_by_namespace"); err != nil {
		t.Error(err)
	}
}

func TestLint_OnlyTheCompatibleNameThatCannotChangeIsCriticised(t *testing.T) {
	t.Parallel()

	reg := prometheus.NewPedanticRegistry()

	r, err := telemetry.NewReload(reg, telemetry.Options{CountByNamespace: true})
	if err != nil {
		t.Fatal(err)
	}

	everything(r)

	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, p := range problems {
		names = append(names, p.Metric)
	}

	if diff := cmp.Diff([]string{"reloader_reload_executed_total_by_namespace"}, names); diff != "" {
		t.Errorf("criticised metrics (-want +got):\n%s\n%v", diff, problems)
	}
}

func TestExecuted_ByNamespaceOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()

	for name, asked := range map[string]bool{"asked for": true, "not asked for": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			reg := prometheus.NewPedanticRegistry()

			r, err := telemetry.NewReload(reg, telemetry.Options{CountByNamespace: asked})
			if err != nil {
				t.Fatal(err)
			}

			r.Executed("payments", true)
			r.Executed("payments", true)
			r.Executed("payments", false)

			n, err := testutil.GatherAndCount(reg, "reloader_reload_executed_total_by_namespace")
			if err != nil {
				t.Fatal(err)
			}

			if want := map[bool]int{true: 2, false: 0}[asked]; n != want {
				t.Errorf("got %d series, want %d", n, want)
			}
		})
	}
}

func TestWorkqueue_Section15CountsWithoutLabels(t *testing.T) {
	t.Parallel()

	reg := prometheus.NewPedanticRegistry()

	r, err := telemetry.NewReload(reg, telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}

	q := workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Hour, time.Hour),
		workqueue.TypedRateLimitingQueueConfig[string]{Name: "any", MetricsProvider: r.Workqueue()},
	)
	defer q.ShutDown()

	q.Add("a")
	q.Add("b")
	q.Add("b") // waits already
	q.Get()
	q.AddRateLimited("a")

	const want = `
# HELP reloader_retries_total Passes that were put off to be tried again.
# TYPE reloader_retries_total counter
reloader_retries_total 1
# HELP reloader_workqueue_adds_total Workloads that were queued.
# TYPE reloader_workqueue_adds_total counter
reloader_workqueue_adds_total 2
# HELP reloader_workqueue_depth Workloads that wait for a worker.
# TYPE reloader_workqueue_depth gauge
reloader_workqueue_depth 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "reloader_workqueue_depth",
		"reloader_workqueue_adds_total", "reloader_retries_total"); err != nil {
		t.Error(err)
	}
}

func TestNewReload_SaysSoWhenANameIsTaken(t *testing.T) {
	t.Parallel()

	reg := prometheus.NewPedanticRegistry()
	if _, err := telemetry.NewReload(reg, telemetry.Options{}); err != nil {
		t.Fatal(err)
	}

	_, err := telemetry.NewReload(reg, telemetry.Options{})
	if _, taken := errors.AsType[prometheus.AlreadyRegisteredError](err); !taken {
		t.Errorf("got error %v, want one that wraps AlreadyRegisteredError", err)
	}
}

func TestMeasureClients_Section15AddsTheDurationTwiceWithoutHarm(t *testing.T) {
	t.Parallel()

	telemetry.MeasureClients()
	telemetry.MeasureClients()

	descs := make(chan *prometheus.Desc, 1000)
	metrics.Registry.(prometheus.Collector).Describe(descs)
	close(descs)

	var all []string
	for d := range descs {
		all = append(all, d.String())
	}

	for _, want := range []string{"rest_client_requests_total", "rest_client_request_duration_seconds"} {
		if !slices.ContainsFunc(all, func(d string) bool { return strings.Contains(d, `"`+want+`"`) }) {
			t.Errorf("%s is not registered", want)
		}
	}
}

func TestMessages_Section16(t *testing.T) {
	t.Parallel()

	r := telemetry.Reloaded{
		Source: "db", SourceType: "SECRET", Namespace: "payments", Workload: "api", Kind: "Deployment",
	}

	got := []string{r.Message(), r.FailMessage(errors.New("no room"))}
	want := []string{
		"Changes detected in 'db' of type 'SECRET' in namespace 'payments', " +
			"Updated 'api' of type 'Deployment' in namespace 'payments'",
		"Update for 'api' of type 'Deployment' in namespace 'payments' failed with error no room",
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}
