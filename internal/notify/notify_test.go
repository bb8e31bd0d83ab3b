package notify_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/notify"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is when a test gives up; nothing waits for it otherwise.
const patience = 20 * time.Second

// drops collects the metric of lost notifications.
type drops chan string

func (d drops) Dropped(sink string) { d <- sink }

// lines collects log lines.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(_, line string) {
		l.mu.Lock()
		defer l.mu.Unlock()

		l.text = append(l.text, line)
	}, funcr.Options{})
}

func (l *lines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()

	return strings.Join(l.text, "\n")
}

// fixture is what the notifications of one test use.
type fixture struct {
	drops drops
	lines *lines
	clock clock.WithDelayedExecution
	http  *http.Client
}

func newFixture() *fixture {
	return &fixture{
		drops: make(drops, 1000), lines: &lines{}, clock: clock.RealClock{},
		http: &http.Client{Transport: &http.Transport{}},
	}
}

func (f *fixture) options() notify.Options {
	return notify.Options{HTTP: f.http, Clock: f.clock, Log: f.lines.logger(), Metrics: f.drops}
}

// start runs the receiver's worker; stop ends it and waits until it has drained.
func start(t *testing.T, s interface {
	Start(ctx context.Context) error
},
) (stop func()) {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- s.Start(ctx) }()

	stop = sync.OnceFunc(func() {
		cancel()

		if err := wait(t, done); err != nil {
			t.Errorf("Start: %v", err)
		}
	})
	t.Cleanup(stop)

	return stop
}

// wait receives, or fails the test.
func wait[T any](t *testing.T, from <-chan T) T {
	t.Helper()

	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
	}

	panic("unreachable")
}

type request struct{ method, contentType, path, body string }

// receiver is a server that answers with the next status of the list, the last one for ever.
func receiver(t *testing.T, statuses ...int) (*httptest.Server, <-chan request) {
	t.Helper()

	got := make(chan request, 1000)

	var n atomic.Int64

	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}

		i := min(int(n.Add(1)), len(statuses)) - 1

		if statuses[i] == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}

		w.WriteHeader(statuses[i])

		got <- request{r.Method, r.Header.Get("Content-Type"), r.URL.Path, string(body)}
	}))
	t.Cleanup(s.Close)

	return s, got
}

func reloaded() telemetry.Reloaded {
	return telemetry.Reloaded{
		Source: "db", SourceType: "SECRET", Namespace: "payments", Workload: "api", Kind: "Deployment",
	}
}

func TestAlerts_Section14Payloads(t *testing.T) {
	t.Parallel()

	const text = "Reloader detected changes in *db* of type *SECRET* in namespace *payments*. " +
		"Hence reloaded *api* of type *Deployment* in namespace *payments*"

	for name, tc := range map[string]struct {
		config            configv1alpha1.Alerts
		contentType, body string
	}{
		"slack": {
			configv1alpha1.Alerts{Sink: "slack"},
			"application/json",
			`{"attachments":[{"color":"good","author_name":"Reloader","text":"` + text + `"}]}`,
		},
		"teams": {configv1alpha1.Alerts{Sink: "teams"}, "application/json", `{"text":"` + text + `"}`},
		"gchat": {configv1alpha1.Alerts{Sink: "gchat"}, "application/json", `{"text":"` + text + `"}`},
		"raw has no stars": {
			configv1alpha1.Alerts{Sink: "raw"}, "text/plain", strings.ReplaceAll(text, "*", ""),
		},
		"additional info comes first": {
			configv1alpha1.Alerts{Sink: "gchat", AdditionalInfo: "cluster *eu*"},
			"application/json",
			`{"text":"cluster *eu* : ` + text + `"}`,
		},
		"additional info has no stars either": {
			configv1alpha1.Alerts{Sink: "raw", AdditionalInfo: "cluster *eu*"},
			"text/plain",
			"cluster eu : " + strings.ReplaceAll(text, "*", ""),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newFixture()
			server, got := receiver(t, http.StatusOK)
			tc.config.URL = server.URL + "/hook"

			a, err := notify.NewAlerts(tc.config, f.options())
			if err != nil {
				t.Fatal(err)
			}

			stop := start(t, a)

			a.Reloaded(reloaded())
			stop()

			want := request{http.MethodPost, tc.contentType, "/hook", tc.body}
			if diff := cmp.Diff(want, wait(t, got), cmp.AllowUnexported(request{})); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}

			if len(f.drops) != 0 || f.lines.all() != "" {
				t.Errorf("%d dropped, log %q, want none", len(f.drops), f.lines.all())
			}
		})
	}
}

func TestAlerts_Section14StatusesThatAreFailures(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		sink   configv1alpha1.Sink
		status int
		fails  bool
	}{
		"slack takes 204":           {"slack", http.StatusNoContent, false},
		"slack refuses with 400":    {"slack", http.StatusBadRequest, true},
		"slack fails with 500":      {"slack", http.StatusInternalServerError, true},
		"raw takes 202":             {"raw", http.StatusAccepted, false},
		"raw refuses with 404":      {"raw", http.StatusNotFound, true},
		"teams takes 200 alone":     {"teams", http.StatusAccepted, true},
		"gchat takes 200 alone":     {"gchat", http.StatusNoContent, true},
		"teams takes 200":           {"teams", http.StatusOK, false},
		"slack's redirect is no go": {"slack", http.StatusFound, true},
		"gchat's redirect is no go": {"gchat", http.StatusFound, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newFixture()
			server, got := receiver(t, tc.status)

			a, err := notify.NewAlerts(configv1alpha1.Alerts{Sink: tc.sink, URL: server.URL + "/hook"}, f.options())
			if err != nil {
				t.Fatal(err)
			}

			stop := start(t, a)

			a.Reloaded(reloaded())
			stop()

			if n := len(got); n != 1 {
				t.Errorf("%d requests, want one: an alert is not sent again and no redirect is followed", n)
			}

			if fails := len(f.drops) == 1; fails != tc.fails {
				t.Errorf("failed: %v, want %v; log: %s", fails, tc.fails, f.lines.all())
			}
		})
	}
}

func TestAlerts_Section14GoThroughTheProxy(t *testing.T) {
	t.Parallel()

	f := newFixture()
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.String() }))
	t.Cleanup(proxy.Close)

	a, err := notify.NewAlerts(configv1alpha1.Alerts{
		Sink: "raw", URL: "http://alerts.invalid/hook", Proxy: proxy.URL,
	}, f.options())
	if err != nil {
		t.Fatal(err)
	}

	stop := start(t, a)

	a.Reloaded(reloaded())
	stop()

	if got := wait(t, asked); got != "http://alerts.invalid/hook" {
		t.Errorf("the proxy was asked for %s", got)
	}
}

func TestNew_TellsNoAddressThatCannotBeUsed(t *testing.T) {
	t.Parallel()

	o := newFixture().options()
	_, badURL := notify.NewAlerts(configv1alpha1.Alerts{Sink: "raw", URL: "http://t0ken:t0ken\x00@x"}, o)
	_, badProxy := notify.NewAlerts(configv1alpha1.Alerts{Sink: "raw", URL: "http://x", Proxy: "t0ken"}, o)
	_, badHook := notify.NewWebhook(configv1alpha1.ReloadWebhook{URL: "t0ken"}, o)

	for name, err := range map[string]error{"alerts": badURL, "proxy": badProxy, "webhook": badHook} {
		if err == nil || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%s: got %v, want an error without the address", name, err)
		}
	}
}

func TestAlerts_NoLogLineHoldsTheToken(t *testing.T) {
	t.Parallel()

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	refusing, _ := receiver(t, http.StatusForbidden)
	redirecting, _ := receiver(t, http.StatusFound)

	for name, base := range map[string]string{
		"refused connection": closed.URL, "refused status": refusing.URL, "redirect": redirecting.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}

			u.User, u.Path, u.RawQuery = url.UserPassword("me", "t0ken"), "/t0ken", "key=t0ken"

			f := newFixture()

			a, err := notify.NewAlerts(configv1alpha1.Alerts{Sink: "slack", URL: u.String()}, f.options())
			if err != nil {
				t.Fatal(err)
			}

			stop := start(t, a)

			a.Reloaded(reloaded())
			stop()

			if log := f.lines.all(); strings.Contains(log, "t0ken") || !strings.Contains(log, u.Host) {
				t.Errorf("want the host and not the token, got: %s", log)
			}
		})
	}
}

func webhook(t *testing.T, f *fixture, address string, timeout time.Duration) *notify.Webhook {
	t.Helper()

	w, err := notify.NewWebhook(configv1alpha1.ReloadWebhook{
		URL: address, Timeout: metav1.Duration{Duration: timeout},
	}, f.options())
	if err != nil {
		t.Fatal(err)
	}

	return w
}

func TestWebhook_Section13Body(t *testing.T) {
	t.Parallel()

	f := newFixture()
	server, got := receiver(t, http.StatusOK)
	w := webhook(t, f, server.URL+"/hook", time.Minute)
	stop := start(t, w)

	w.Changed()
	stop()

	want := request{http.MethodPost, "application/json", "/hook", `{"webhook":"update successful"}`}
	if diff := cmp.Diff(want, wait(t, got), cmp.AllowUnexported(request{})); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestWebhook_TriesAgainWithGrowingPausesWhenTheReceiverFails(t *testing.T) {
	t.Parallel()

	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	f := newFixture()
	f.clock = fake
	server, got := receiver(t, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusInternalServerError,
		http.StatusOK)
	w := webhook(t, f, server.URL, time.Minute)
	start(t, w)

	w.Changed()
	wait(t, got)

	for _, pause := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
		waiting(t, fake, 1)
		fake.Step(pause - time.Millisecond)

		if len(got) != 0 {
			t.Fatalf("tried again before %s", pause)
		}

		fake.Step(time.Millisecond)
		wait(t, got)
	}

	if len(f.drops) != 0 {
		t.Errorf("it arrived at last but counts as dropped")
	}
}

// waiting returns when so many wait for the clock.
func waiting(t *testing.T, c *clocktesting.FakeClock, n int) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	// The fake clock does not tell when a waiter comes, so it must be asked.
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()

	for c.Waiters() < n {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("too few wait for the clock")
		}
	}
}

func TestWebhook_GivesUpAtLastAndCountsIt(t *testing.T) {
	t.Parallel()

	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	f := newFixture()
	f.clock = fake
	server, got := receiver(t, http.StatusInternalServerError)
	w := webhook(t, f, server.URL, time.Minute)
	start(t, w)

	w.Changed()

	for range 5 {
		waiting(t, fake, 1)
		fake.Step(time.Minute)
	}

	if sink := wait(t, f.drops); sink != "webhook" {
		t.Errorf("dropped for %q, want webhook", sink)
	}

	if n := len(got); n != 6 {
		t.Errorf("%d tries, want 6", n)
	}
}

func TestWebhook_DoesNotTryAgainWhatTheReceiverRefuses(t *testing.T) {
	t.Parallel()

	f := newFixture()
	server, got := receiver(t, http.StatusUnauthorized)
	w := webhook(t, f, server.URL, time.Minute)
	start(t, w)

	w.Changed()
	wait(t, f.drops)

	if n := len(got); n != 1 {
		t.Errorf("%d tries, want one", n)
	}
}

// hung is a server that never answers.
func hung(t *testing.T) (*httptest.Server, <-chan struct{}) {
	t.Helper()

	asked, release := make(chan struct{}, 1000), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// Without reading the body the server does not notice that the client went away.
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}

		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		close(release)
		s.Close()
	})

	return s, asked
}

func TestAlerts_AHungReceiverBlocksNobodyAndIsLoggedOnce(t *testing.T) {
	t.Parallel()

	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	f := newFixture()
	f.clock = fake
	server, asked := hung(t)

	a, err := notify.NewAlerts(configv1alpha1.Alerts{Sink: "slack", URL: server.URL}, f.options())
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- a.Start(ctx) }()

	a.Reloaded(reloaded())
	wait(t, asked)

	// One is on its way and 256 find room.
	for range 256 + 10 {
		a.Reloaded(reloaded())
	}

	if n := len(f.drops); n != 10 {
		t.Errorf("%d dropped, want 10", n)
	}

	if n := strings.Count(f.lines.all(), "too slow"); n != 1 {
		t.Errorf("%d lines about a full queue, want one:\n%s", n, f.lines.all())
	}

	// The end waits for the receiver as long as is allowed, and no longer.
	cancel()
	waiting(t, fake, 1)

	select {
	case <-done:
		t.Error("ended before the time to drain was over")
	default:
	}

	fake.Step(5 * time.Second)

	if err := wait(t, done); err != nil {
		t.Error(err)
	}

	if n := len(f.drops); n != 10+1+256 {
		t.Errorf("%d dropped, want all %d", n, 10+1+256)
	}
}

func TestWebhook_AHungReceiverTimesOutAndIsTriedAgain(t *testing.T) {
	t.Parallel()

	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	f := newFixture()
	f.clock = fake
	server, asked := hung(t)
	w := webhook(t, f, server.URL, 10*time.Millisecond)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- w.Start(ctx) }()

	w.Changed()
	wait(t, asked)
	waiting(t, fake, 1)
	fake.Step(500 * time.Millisecond)
	wait(t, asked)
	waiting(t, fake, 1)

	// Nobody waits for all six tries once it is time to stop.
	cancel()
	waiting(t, fake, 2)
	fake.Step(5 * time.Second)

	if err := wait(t, done); err != nil {
		t.Error(err)
	}

	if n := len(f.drops); n != 1 {
		t.Errorf("%d dropped, want one", n)
	}
}

func TestStart_SendsWhatIsQueuedBeforeItEnds(t *testing.T) {
	t.Parallel()

	f := newFixture()
	server, got := receiver(t, http.StatusOK)
	w := webhook(t, f, server.URL, time.Minute)

	for range 20 {
		w.Changed()
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stop at once"))

	if err := w.Start(ctx); err != nil {
		t.Fatal(err)
	}

	if n := len(got); n != 20 || len(f.drops) != 0 {
		t.Errorf("%d sent, %d dropped, want 20 and 0", n, len(f.drops))
	}
}

func TestNeedLeaderElection_IsFalse(t *testing.T) {
	t.Parallel()

	if webhook(t, newFixture(), "http://x", time.Second).NeedLeaderElection() {
		t.Error("a notification of who leads would wait for the lease a second time")
	}
}
