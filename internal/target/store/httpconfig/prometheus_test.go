package httpconfig

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// reload tells a Prometheus to read its file again.
func reload() lockstepv1alpha1.HTTPStore {
	return lockstepv1alpha1.HTTPStore{
		Apply:  lockstepv1alpha1.HTTPRequest{Path: "/-/reload", OmitBody: true},
		Effect: &lockstepv1alpha1.HTTPEffect{Path: "/metrics", Metric: "prometheus_config_last_reload_successful", Equals: "1"},
	}
}

func TestPrometheusReloadsAndItsMetricSaysWhetherThatWorked(t *testing.T) {
	t.Parallel()
	p := stores.OwnPrometheus(t, localstore.PrometheusOptions{})
	s := openAt(t, p.URL(), reload())
	state := read(t, s, named("prometheus.yml"))
	if !state.Hidden || state.Stored.Set || state.Rule == nil {
		t.Errorf("got %+v", state)
	}
	if _, err := s.Probe(t.Context()); !errors.Is(err, store.ErrNoProbe) {
		t.Errorf("got %v", err)
	}
	const good = "global: {scrape_interval: 2h}\n"
	write(t, p, good)
	apply(t, s, to("prometheus.yml", good))
	write(t, p, "canary-7f: [")
	err := s.Apply(t.Context(), to("prometheus.yml", "canary-7f: ["))
	refused, ok := errors.AsType[*store.RefusedError](err)
	if !ok || !strings.Contains(refused.Reason, "500 Internal Server Error, and prometheus_config_last_reload_successful is 0, not 1") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error has the value: %v", err)
	}
	write(t, p, good)
	apply(t, s, to("prometheus.yml", good))
}

func TestAPrometheusThatDoesNotGetThereIsWaitedFor(t *testing.T) {
	t.Parallel()
	p := stores.OwnPrometheus(t, localstore.PrometheusOptions{})
	h := reload()
	h.Effect.Equals = "3"
	clk := &jumping{now: time.Now()}
	s := openTarget(t, targetOf(p.URL(), h), clk)
	err := s.Apply(t.Context(), to("prometheus.yml", "x"))
	if refused, ok := errors.AsType[*store.RefusedError](err); !ok || !strings.Contains(refused.Reason, "was taken, but prometheus_config_last_reload_successful is 1, not 3") {
		t.Errorf("got %v", err)
	}
	var all time.Duration
	for _, d := range clk.waits {
		all += d
	}
	if all != s.target.Command || clk.waits[0] != firstWait || clk.waits[1] != 2*firstWait {
		t.Errorf("it waited %v", clk.waits)
	}
	// Whether a series that there is not will ever be is not known.
	h.Effect.Metric = "no_such_metric"
	s = openTarget(t, targetOf(p.URL(), h), &jumping{now: time.Now()})
	err = s.Apply(t.Context(), to("prometheus.yml", "x"))
	if _, refused := errors.AsType[*store.RefusedError](err); err == nil || refused || !errors.Is(err, errNoSeries) {
		t.Errorf("got %v", err)
	}
}

func TestAPrometheusThatMayNotBeReloadedRefuses(t *testing.T) {
	t.Parallel()
	p := stores.OwnPrometheus(t, localstore.PrometheusOptions{})
	h := reload()
	h.Apply.Path = "/-/no-such-thing"
	err := openAt(t, p.URL(), h).Apply(t.Context(), to("prometheus.yml", "x"))
	if _, refused := errors.AsType[*store.RefusedError](err); !refused {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, p *localstore.Prometheus, text string) {
	t.Helper()
	if err := os.WriteFile(p.ConfigFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
