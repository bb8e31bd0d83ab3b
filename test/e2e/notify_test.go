package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// receiver is an endpoint that takes messages and, until it is let go of, answers nobody.
type receiver struct {
	url    string
	bodies chan string
	answer chan struct{}
}

// The path of a receiver's URL is a password to many of them.
const token = "T0K3N-of-the-receiver"

func newReceiver(t testing.TB) *receiver {
	t.Helper()

	r := &receiver{bodies: make(chan string, 100), answer: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.bodies <- string(body)

		select {
		case <-r.answer:
		case <-q.Context().Done():
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})

	r.url = server.URL + "/" + token

	return r
}

func (r *receiver) next(t testing.TB) string {
	t.Helper()

	timer := time.NewTimer(limit)
	defer timer.Stop()

	select {
	case body := <-r.bodies:
		return body
	case <-timer.C:
		t.Fatalf("no message within %s", limit)
	}

	return ""
}

func TestSection14AReceiverOfAlertsThatHangsHoldsNothingUp(t *testing.T) {
	t.Parallel()

	w, r := newWorld(t), newReceiver(t)
	each(3, func(name string) { w.create(w.secret(name, "old"), w.statefulSet(name, auto())) })

	p := w.reloadWith([]string{
		"ALERT_ON_RELOAD=true", "ALERT_SINK= Slack", "ALERT_WEBHOOK_URL=" + r.url, "ALERT_ADDITIONAL_INFO=cluster one",
	})
	p.listed()

	var want, got []string

	each(3, func(name string) {
		w.set(w.secret(name, "new"))
		carries(w, w.statefulSet(name, nil), w.secret(name, ""), "new")

		want = append(want, `{"attachments":[{"color":"good","author_name":"Reloader","text":"cluster one : Reloader detected changes in *`+
			name+`* of type *SECRET* in namespace *`+w.namespace+`*. Hence reloaded *`+name+`* of type *StatefulSet* in namespace *`+
			w.namespace+`*"}]}`)
	})

	close(r.answer)

	for range want {
		got = append(got, r.next(t))
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}

	p.settle()

	if strings.Contains(p.out.String(), token) {
		t.Error("the output tells the path of the receiver's URL")
	}
}

func TestSection13AWebhookIsToldOfAChangeAndNothingIsReloaded(t *testing.T) {
	t.Parallel()

	w, r := newWorld(t), newReceiver(t)
	app := w.statefulSet("app", auto())
	w.create(w.secret("app", "old"), w.configMap("app", "old"), app)

	p := w.reload("--webhook-url=" + r.url)
	p.listed()
	w.proxy.Reset()
	w.set(w.secret("app", "new"), w.configMap("app", "new"))

	const want = `{"webhook":"update successful"}`
	if got := r.next(t); got != want {
		t.Errorf("the webhook was sent %s, want %s", got, want)
	}

	// It hangs, with another call waiting: that holds up neither the end nor the exit code.
	if took := p.terminate(); took > 30*time.Second {
		t.Errorf("the end took %s, want about 5 s", took)
	}

	if got := w.writes(); len(got) > 0 || w.rollouts(app) != 0 {
		t.Errorf("%d rollouts and the writes %q, want none", w.rollouts(app), got)
	}

	if strings.Contains(p.out.String(), token) {
		t.Error("the output tells the path of the webhook's URL")
	}
}
