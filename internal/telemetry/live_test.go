package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

func newLive(t *testing.T) (*telemetry.Live, *prometheus.Registry) {
	t.Helper()

	reg := prometheus.NewPedanticRegistry()

	l, err := telemetry.NewLive(reg)
	if err != nil {
		t.Fatal(err)
	}

	return l, reg
}

func TestLiveExposition_EverySeriesIsThereFromTheStart(t *testing.T) {
	t.Parallel()

	_, reg := newLive(t)
	golden(t, reg, "live.golden")
}

func TestLiveExposition_WhatMovesAddsNoSeries(t *testing.T) {
	t.Parallel()

	l, reg := newLive(t)
	l.Propagated(lockstepv1alpha1.StoreCeph, 20*time.Millisecond)
	l.Stores(lockstepv1alpha1.StoreRedis, 3, 2)

	for _, outcome := range []telemetry.LiveOutcome{
		telemetry.LiveApplied, telemetry.LiveRolledBack, telemetry.LiveRollingBack, telemetry.LiveHeld, telemetry.LiveRefused,
	} {
		l.Changed(lockstepv1alpha1.StorePostgreSQL, outcome)
	}

	l.Drifted(lockstepv1alpha1.StoreEtcd, telemetry.DriftCorrected)
	l.Drifted(lockstepv1alpha1.StoreEtcd, telemetry.DriftReported)

	for _, what := range []telemetry.StoreRequest{
		telemetry.StoreOpen, telemetry.StoreRead, telemetry.StoreApply, telemetry.StoreProbe,
	} {
		l.Requested(lockstepv1alpha1.StoreMySQL, what)
	}

	golden(t, reg, "live.golden")

	for name, want := range map[string]float64{
		"lockstep_live_changes_total": 5, "lockstep_live_drift_total": 2, "lockstep_live_store_requests_total": 4,
	} {
		if got := counted(t, reg, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}

	const stores = `
# HELP lockstep_live_store_up Stores that answer and let us in.
# TYPE lockstep_live_store_up gauge
lockstep_live_store_up{store_type="Ceph"} 0
lockstep_live_store_up{store_type="Etcd"} 0
lockstep_live_store_up{store_type="HTTP"} 0
lockstep_live_store_up{store_type="MySQL"} 0
lockstep_live_store_up{store_type="PostgreSQL"} 0
lockstep_live_store_up{store_type="Redis"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(stores), "lockstep_live_store_up"); err != nil {
		t.Error(err)
	}
}

func TestLiveLint_EveryNameFollowsTheConventions(t *testing.T) {
	t.Parallel()

	_, reg := newLive(t)

	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("got error %v and problems %v", err, problems)
	}

	if _, err := telemetry.NewLive(reg); err == nil {
		t.Error("the names can be registered twice")
	}
}
