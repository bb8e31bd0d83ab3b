package localstore_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestPrometheusAndCaddyAnswerAtTheSameAddressAfterAKill(t *testing.T) {
	t.Parallel()
	prometheus, caddy := stores.OwnPrometheus(t, localstore.PrometheusOptions{}), stores.OwnCaddy(t)
	for url, s := range map[string]interface {
		Kill() error
		Restart(ctx context.Context) error
	}{prometheus.URL() + "/-/ready": prometheus, caddy.URL() + "/config/": caddy} {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", url, response.Status)
		}
	}
}
