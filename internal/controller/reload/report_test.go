package reload

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

func TestSection16WhatAPassTells(t *testing.T) {
	t.Parallel()

	edits := []edit{{key: app, seen: noon.Add(-time.Second)}}
	secret := []edit{{key: refs.Key{Kind: refs.Secret, Namespace: "shop", Name: "db"}}}

	for name, tc := range map[string]struct {
		step   step
		err    error
		events []string
		alerts []telemetry.Reloaded
	}{
		"§16 a change that was carried": {
			step: step{edits: edits},
			events: []string{
				"Normal Reloaded Changes detected in 'app' of type 'CONFIGMAP' in namespace 'shop', " +
					"Updated 'web' of type 'Deployment' in namespace 'shop'",
			},
			alerts: []telemetry.Reloaded{
				{Source: "app", SourceType: "CONFIGMAP", Namespace: "shop", Workload: "web", Kind: "Deployment"},
			},
		},
		"§16 a write that failed": {
			step: step{edits: secret, paused: true}, err: errors.New("no luck"),
			events: []string{
				"Warning ReloadFail Update for 'web' of type 'Deployment' in namespace 'shop' failed with error no luck",
			},
		},
		"§14 two changes in one write": {
			step: step{edits: append(secret, edits...)},
			events: []string{
				"Normal Reloaded Changes detected in 'db' of type 'SECRET' in namespace 'shop', " +
					"Updated 'web' of type 'Deployment' in namespace 'shop'",
				"Normal Reloaded Changes detected in 'app' of type 'CONFIGMAP' in namespace 'shop', " +
					"Updated 'web' of type 'Deployment' in namespace 'shop'",
			},
			alerts: []telemetry.Reloaded{
				{Source: "db", SourceType: "SECRET", Namespace: "shop", Workload: "web", Kind: "Deployment"},
				{Source: "app", SourceType: "CONFIGMAP", Namespace: "shop", Workload: "web", Kind: "Deployment"},
			},
		},
		"§11 a pause": {
			step:   step{paused: true},
			events: []string{"Normal PausedForReload Paused for 5m0s, so that later changes are rolled out together with this one"},
		},
		"§11 the end of a pause": {
			step:   step{resumed: true},
			events: []string{"Normal ResumedAfterReload The pause period is over: what changed meanwhile is rolled out"},
		},
		"§6 nothing to do is nothing to tell": {
			step: step{skipped: map[refs.Key]telemetry.SkipReason{app: telemetry.SkipNotUpdated}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			events := make(chan string, 10)
			c := controllerOf(t, clocktesting.NewFakeClock(noon), Settings{}, events)

			defer shutDown(c)

			var alerts []telemetry.Reloaded

			c.Reporter.Alert = func(r telemetry.Reloaded) { alerts = append(alerts, r) }
			f := facts{workload: reading("web", 1, "app"), policy: &reload.Policy{PausePeriod: 5 * time.Minute}, now: noon}
			c.Reporter.passed(f, tc.step, tc.err, time.Millisecond)
			close(events)

			var got []string
			for e := range events {
				got = append(got, e)
			}

			if diff := cmp.Diff(tc.events, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(tc.alerts, alerts); diff != "" {
				t.Errorf("alerts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheLagIsThatOfTheOldestChange(t *testing.T) {
	t.Parallel()

	f := facts{now: noon}
	edits := []edit{{seen: noon.Add(-time.Second)}, {seen: noon.Add(-time.Minute)}, {}}

	if got := lag(f, edits, time.Second); got != time.Minute+time.Second {
		t.Errorf("lag %v", got)
	}

	if got := lag(f, []edit{{}}, time.Second); got != time.Second {
		t.Errorf("where nobody saw the change it is the write's own: %v", got)
	}
}
