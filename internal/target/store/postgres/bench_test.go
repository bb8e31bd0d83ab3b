package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// The commands alone, by psql's means so to speak; what a change through the driver takes, with the look before, the
// check and the look after; and its parts.
func BenchmarkAgainstTheCommandsThemselves(b *testing.B) {
	p := stores.Postgres(b)

	c, err := p.Client(b.Context())
	if err != nil {
		b.Fatal(err)
	}

	defer func() { _ = c.Close(b.Context()) }()

	user, password := p.Admin()
	target := (&world{Postgres: p}).target()
	target.Username, target.Password = user, password

	s, err := Driver().Open(b.Context(), target)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()

	driver := s.(*session)
	setting := []live.Setting{param("work_mem")}
	text := func(i int) string { return fmt.Sprintf("%dkB", 4096+i%1000) }

	for name, do := range map[string]func(i int) error{
		"raw/ALTER SYSTEM and reload": func(i int) error {
			if _, err := c.Exec(b.Context(), "ALTER SYSTEM SET work_mem = '"+text(i)+"'", pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}

			_, err := c.Exec(b.Context(), "SELECT pg_reload_conf()", pgx.QueryExecModeSimpleProtocol)

			return err
		},
		"raw/the same until it is in force": func(i int) error {
			if _, err := c.Exec(b.Context(), "ALTER SYSTEM SET work_mem = '"+text(i)+"'", pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}

			if _, err := c.Exec(b.Context(), "SELECT pg_reload_conf()", pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}

			for inForce := false; !inForce; {
				if err := c.QueryRow(b.Context(), "SELECT setting = $1 FROM pg_settings WHERE name = 'work_mem'", strconv.Itoa(4096+i%1000)).Scan(&inForce); err != nil {
					return err
				}
			}

			return nil
		},
		"driver/read, check, apply, read": func(i int) error {
			change := []live.Change{set(setting[0], text(i))}
			if _, err := driver.Read(b.Context(), setting); err != nil {
				return err
			}

			if err := driver.Check(b.Context(), change); err != nil {
				return err
			}

			if err := driver.Apply(b.Context(), change); err != nil {
				return err
			}

			states, err := driver.Read(b.Context(), setting)
			if err == nil && !states[0].Rule.Same(states[0].Running.Text, text(i)) {
				return fmt.Errorf("got %+v", states[0])
			}

			return err
		},
		"driver/read":  func(int) error { return second(driver.Read(b.Context(), setting)) },
		"driver/check": func(i int) error { return driver.Check(b.Context(), []live.Change{set(setting[0], text(i))}) },
		"driver/apply": func(i int) error { return driver.Apply(b.Context(), []live.Change{set(setting[0], text(i))}) },
		"driver/probe": func(int) error { return second(driver.Probe(b.Context())) },
		"driver/read in a new connection": func(int) error {
			return second(driver.Read(b.Context(), []live.Setting{param("log_disconnections")}))
		},
		"driver/accepts": func(int) error { return second(driver.Accepts(b.Context(), user, password)) },
	} {
		b.Run(name, func(b *testing.B) {
			took := make([]time.Duration, 0, b.N)

			for i := range b.N {
				started := time.Now()

				if err := do(i); err != nil {
					b.Fatal(err)
				}

				took = append(took, time.Since(started))
			}

			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "median-ms")
		})
	}
}
