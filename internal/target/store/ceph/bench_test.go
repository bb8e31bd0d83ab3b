package ceph

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// median runs do until the benchmark has enough, and reports the median beside the mean.
func median(b *testing.B, do func(i int)) {
	b.Helper()

	var all []time.Duration

	for i := 0; b.Loop(); i++ {
		start := time.Now()

		do(i)

		all = append(all, time.Since(start))
	}

	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "µs/p50")
}

// BenchmarkSession compares what a session does with the commands that it needs for it.
func BenchmarkSession(b *testing.B) {
	c := stores.OwnCeph(b, localstore.CephOptions{})
	s := begin(b, targetOf(c))
	client, monitor := live.Setting{Who: "client.x", Name: pgs}, live.Setting{Who: "mon", Name: pgs}
	write := func(i int) map[string]any {
		return map[string]any{"prefix": "config set", "who": "client.x", "name": pgs, "value": strconv.Itoa(1 + i)}
	}
	raw := func(b *testing.B, command map[string]any) {
		b.Helper()

		if _, err := c.Admin().Do(b.Context(), command); err != nil {
			b.Fatal(err)
		}
	}

	b.Run("set/raw", func(b *testing.B) { median(b, func(i int) { raw(b, write(i)) }) })
	b.Run("set/session", func(b *testing.B) {
		median(b, func(i int) { apply(b, s, client, number(1+i)) })
	})
	b.Run("dump/raw", func(b *testing.B) { median(b, func(int) { raw(b, ask("config dump")) }) })
	b.Run("dump/session", func(b *testing.B) { median(b, func(int) { read(b, s, client) }) })
	b.Run("dump/session with the monitor asked", func(b *testing.B) { median(b, func(int) { read(b, s, monitor) }) })
	b.Run("set and verify/raw", func(b *testing.B) {
		median(b, func(i int) {
			raw(b, write(i))
			raw(b, ask("config dump"))
		})
	})
	b.Run("set and verify/session", func(b *testing.B) {
		median(b, func(i int) {
			apply(b, s, client, number(1+i))
			read(b, s, client)
		})
	})
	b.Run("set and verify/session with the monitor asked", func(b *testing.B) {
		median(b, func(i int) {
			apply(b, s, monitor, number(1+i))
			read(b, s, monitor)
		})
	})
	b.Run("200 at once/raw in sequence", func(b *testing.B) {
		median(b, func(i int) {
			for j := range 200 {
				command := write(i)
				command["who"] = fmt.Sprintf("client.y%d", j)
				raw(b, command)
			}
		})
	})
	b.Run("200 at once/session", func(b *testing.B) {
		median(b, func(i int) {
			var all sync.WaitGroup

			for j := range 200 {
				all.Go(func() {
					setting := live.Setting{Who: fmt.Sprintf("client.z%d", j), Name: pgs}
					apply(b, s, setting, number(1+i))
					read(b, s, setting)
				})
			}

			all.Wait()
		})
	})
}
