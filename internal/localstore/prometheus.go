package localstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
)

// PrometheusOptions say how to start Prometheus.
type PrometheusOptions struct {
	Options

	// Config is the content of its configuration file; empty for a configuration that scrapes nothing.
	Config string
}

// Prometheus is a running Prometheus that reloads its configuration when it is told to.
type Prometheus struct{ *Server }

// StartPrometheus starts Prometheus as an agent, which keeps no data of its own. ctx bounds the start alone. The error is a
// [*MissingServerError] when it is not installed.
func StartPrometheus(ctx context.Context, o PrometheusOptions) (*Prometheus, error) {
	path, err := Find("prometheus", "prometheus")
	if err != nil {
		return nil, err
	}
	server, err := newServer("prometheus", o.Options)
	if err != nil {
		return nil, err
	}
	p := &Prometheus{server}
	if o.Config == "" {
		o.Config = "global: {scrape_interval: 1h}\n"
	}
	err = writeFile(p.ConfigFile(), o.Config)
	if err == nil {
		err = p.start(ctx, program{
			path: path, ready: func(ctx context.Context) error { return answers(ctx, p.URL()+"/-/ready") },
			args: []string{
				"--config.file=" + filepath.Base(p.ConfigFile()), "--web.listen-address=" + p.Addr(), "--web.enable-lifecycle",
				"--enable-feature=agent", "--storage.agent.path=data", "--log.level=warn",
			},
		})
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop(ctx))
	}

	return p, nil
}

// URL is where it listens.
func (p *Prometheus) URL() string { return "http://" + p.Addr() }

// ConfigFile is the path of the file that it reads when it is told to reload.
func (p *Prometheus) ConfigFile() string { return filepath.Join(p.Dir(), "prometheus.yml") }

// answers asks for a URL and says what is wrong if the answer is not 200.
func answers(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: it answers %s", url, response.Status)
	}

	return nil
}
