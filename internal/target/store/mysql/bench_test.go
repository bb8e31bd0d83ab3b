package mysql

import (
	"strconv"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// BenchmarkSetting compares one change by the driver with the same statement alone.
func BenchmarkSetting(b *testing.B) {
	m := stores.MariaDB(b)
	db := admin(b, m)
	s := dial(b, target(m))
	text := func(i int) string { return strconv.Itoa(100 + i%100) }
	b.Run("the statement alone", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			exec(b, db, "SET GLOBAL max_connections = "+text(i))
		}
	})
	b.Run("apply", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := s.Apply(b.Context(), []live.Change{to("max_connections", text(i))}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read, check, apply and read", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			change := []live.Change{to("max_connections", text(i))}
			read(b, s, change[0].Setting)
			if err := s.Check(b.Context(), change); err != nil {
				b.Fatal(err)
			}
			if err := s.Apply(b.Context(), change); err != nil {
				b.Fatal(err)
			}
			read(b, s, change[0].Setting)
		}
	})
	b.Run("probe", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Probe(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
