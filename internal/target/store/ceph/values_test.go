package ceph

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// oddText draws what breaks parsers, quoting and files of configuration.
func oddText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.SampledFrom([]rune("\n\r\t\"'`#;$\\=[]{}<>&%,:/ \x00\x01\x1b\x7f\u00e9\u2028\u2029\ufeff\ufffd\U0001f600ab1"))),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{
			"", " ", "\n", "x\n", " x ", `"both"`, `back\slash`, "p#w1", "p;w2", "`", "$cluster-$name", "[global]\nx = y", "null", "{}", `\u0000`,
			`\n`, "\u00fc", "a\x00b", "\xff\xfe", strings.Repeat("\\", 100), strings.Repeat("\n", 100),
		}),
	)
}

func TestATextIsStoredExactlyOrRefused(t *testing.T) {
	t.Parallel()

	const (
		batch = 100 // times the hundred checks of rapid
		place = "client.odd."
	)

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))

	settings := make([]live.Setting, batch)
	want := make([]live.Value, batch)

	for i := range settings {
		settings[i] = live.Setting{Who: place + strconv.Itoa(i), Name: password}
	}

	rule := read(t, s, settings[0]).Rule

	rapid.Check(t, func(rt *rapid.T) {
		var writers sync.WaitGroup

		texts := rapid.SliceOfN(oddText(), batch, batch).Draw(rt, "texts")
		errs := make([]error, batch)

		for i, text := range texts {
			writers.Go(func() {
				errs[i] = s.Apply(t.Context(), []live.Change{{Setting: settings[i], To: live.Text(text)}})
			})
		}

		writers.Wait()

		for i, text := range texts {
			_, refused := errors.AsType[*store.RefusedError](errs[i])
			impossible := !utf8.ValidString(text) || strings.Contains(text, "\x00")

			switch {
			case errs[i] != nil && !refused, refused != impossible, (rule.Check(text) != nil) != impossible:
				rt.Fatalf("%.80q: checked %v, applied %v", text, rule.Check(text), errs[i])
			case !refused:
				want[i] = live.Text(text)
			}
		}

		states, err := s.Read(t.Context(), settings)
		if err != nil {
			rt.Fatal(err)
		}

		for i, state := range states {
			if state.Stored != want[i] {
				rt.Fatalf("%.80q is stored as %.80q", want[i].Text, state.Stored.Text)
			}
		}
	})

	if err := c.Err(); err != nil {
		t.Error(err)
	}
}

func TestALongTextIsStoredExactly(t *testing.T) {
	t.Parallel()

	s := begin(t, targetOf(stores.Ceph(t)))
	setting := live.Setting{Who: "client.long", Name: password}

	for _, text := range []string{strings.Repeat("\u00fcx\n", 25_000), strings.Repeat(`\"`, 35_000), strings.Repeat("x", 1<<20)} {
		apply(t, s, setting, live.Text(text))

		if got := read(t, s, setting).Stored; got != live.Text(text) {
			t.Errorf("%d bytes became %d", len(text), len(got.Text))
		}
	}
}

// What the rules take is what the monitors take, and means the same to both.
func TestTheRulesTakeNothingThatTheMonitorsRefuseOrChange(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))
	texts := []string{
		"", " ", "0", "1", "5", "-1", "-0", "+3", "03", "zzz", "true", "FALSE", "yes", "on", "10K", "-1K", "9E", "10E", "18E", "4G", "4g", "4GB", "4Gi",
		"4GiB", "4B", "8E", "15E", "16E", "9223372036854775807", "9223372036854775808", "0x3", "0.5", "0.10", "1e3", "1e-7", "0.1234567", ".5", "1.",
		"inf", "nan", "1e400", "3s", "1h30m", "2 hours", "90secs", "500ms", " 1", "1 ", "1\n", "10.0.0.1", "v1:10.0.0.1:6789/0", "[::1]:3300", "::ffff:1.2.3.4",
		"[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]", "-", "62A1B379C19F4E69B4E56F1FB8791F57", "1/5", "1 / 5", "1/5/6", "99/99", "100", "4096", "10000",
		"layering", "layering, striping", "layering,layering", "61", "99999", "a/b", "a@b", "wpq", "\u00fc",
	}
	names := []string{
		"osd_heartbeat_grace", "osd_scrub_begin_hour", "compressor_zlib_winsize", // int
		"osd_max_backfills", pgs, "ms_async_op_threads", "rgw_rados_pool_recovery_priority", "rbd_discard_granularity_bytes", // uint
		"ms_dispatch_throttle_bytes", "osd_memory_target", // size
		"mon_osd_laggy_weight", "mon_warn_pg_not_scrubbed_ratio", "mon_mgr_blocklist_interval", "mon_lease", // float
		"mon_op_complaint_time", "client_shutdown_timeout", // secs
		"mon_allow_pool_delete", "osd_crush_update_on_start", // bool
		"public_addr", "public_addrv", "osd_uuid", // forms
		"osd_op_queue", "bluestore_compression_algorithm", "debug_mon", "debug_rgw", "rbd_default_features", "rbd_default_pool",
		"rbd_default_data_pool", password, // str
	}

	for _, name := range names {
		setting := live.Setting{Who: "client.rules", Name: name}
		rule := read(t, s, setting).Rule
		taken := 0

		for _, text := range texts {
			checked := rule.Check(text)
			// Not through Apply, which has its own opinion.
			_, err := c.Admin().Do(t.Context(), map[string]any{"prefix": "config set", "who": setting.Who, "name": name, "value": text})

			if checked != nil {
				continue // the rules may be stricter
			}

			if err != nil {
				t.Errorf("%s: the monitors refuse %q: %v", name, text, err)

				continue
			}

			taken++

			if got := read(t, s, setting).Stored; !rule.Same(got.Text, text) {
				t.Errorf("%s: %q is stored as %q, which is not the same", name, text, got.Text)
			}
		}

		if taken == 0 && name != "rgw_rados_pool_recovery_priority" { // whose bounds exclude each other
			t.Errorf("%s: none of the texts was taken", name)
		}
	}
}

func TestNumbersMeanTheSameToUsAndToTheMonitors(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))
	digits := rapid.StringMatching(`[+-]?[0-9]{0,3}[0-9.eE]{0,3}[0-9]{0,16}( ?[KMGTPEBismhdwy]{0,2})`)
	rules := map[live.Setting]live.Rule{}

	for _, name := range []string{"osd_heartbeat_grace", "osd_max_backfills", "ms_dispatch_throttle_bytes", "mon_lease", "mon_op_complaint_time"} {
		setting := live.Setting{Who: "client.numbers", Name: name}
		rules[setting] = read(t, s, setting).Rule
	}

	rapid.Check(t, func(rt *rapid.T) {
		text := digits.Draw(rt, "text")

		for setting, rule := range rules {
			if rule.Check(text) != nil {
				continue
			}

			if err := s.Apply(t.Context(), []live.Change{{Setting: setting, To: live.Text(text)}}); err != nil {
				rt.Fatalf("%s: %q: %v", setting.Name, text, err)
			}

			if got := read(t, s, setting).Stored; !rule.Same(got.Text, text) {
				rt.Fatalf("%s: %q is stored as %q", setting.Name, text, got.Text)
			}
		}
	})
}
