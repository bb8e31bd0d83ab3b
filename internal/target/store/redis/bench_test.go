package redis

import (
	"strconv"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// What the driver adds to the server's own commands: compare raw-set with apply, raw-get with read.
func BenchmarkAgainstTheCommandsThemselves(b *testing.B) {
	r := stores.OwnRedis(b, own())
	s := openAt(b, r)
	c := r.Client()
	b.Cleanup(func() { c.Close() })
	hz := func(i int) string { return strconv.Itoa(10 + i%100) }
	for name, do := range map[string]func(i int) error{
		"raw-set": func(i int) error { return c.Do(b.Context(), "CONFIG", "SET", "hz", hz(i), "timeout", hz(i)).Err() },
		"apply":   func(i int) error { return s.Apply(b.Context(), to("hz", hz(i), "timeout", hz(i))) },
		"check":   func(i int) error { return s.Check(b.Context(), to("hz", hz(i), "timeout", hz(i))) },
		"raw-get": func(int) error { return c.Do(b.Context(), "CONFIG", "GET", "hz", "timeout").Err() },
		"read": func(int) error {
			_, err := s.Read(b.Context(), settings("hz", "timeout"))

			return err
		},
		"probe": func(int) error {
			_, err := s.Probe(b.Context())

			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				if err := do(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
