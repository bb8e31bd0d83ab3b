package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// Alerts tells people of reloads. An alert is sent once: a late or double one is worse than a line in the log.
type Alerts struct {
	*sender

	format configv1alpha1.Sink
	prefix string
}

// NewAlerts makes the alerts of a validated configuration; nothing is sent before Start. Redirects are refused.
func NewAlerts(c configv1alpha1.Alerts, o Options) (*Alerts, error) {
	httpClient := *o.HTTP
	httpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return errRedirect }

	if c.Proxy != "" {
		transport, err := through(c.Proxy, o.HTTP.Transport)
		if err != nil {
			return nil, err
		}

		httpClient.Transport = transport
	}

	o.HTTP = &httpClient

	s, err := newSender(o, string(c.Sink), c.URL)
	if err != nil {
		return nil, err
	}

	a := &Alerts{sender: s, format: c.Sink}

	if c.Sink == configv1alpha1.SinkTeams || c.Sink == configv1alpha1.SinkGoogleChat {
		s.refuses = func(status int) bool { return status != http.StatusOK }
	}

	if c.AdditionalInfo != "" {
		a.prefix = c.AdditionalInfo + " : "
	}

	return a, nil
}

// through is a copy of the transport that uses the proxy.
func through(proxy string, base http.RoundTripper) (*http.Transport, error) {
	if base == nil {
		base = http.DefaultTransport
	}

	transport, ok := base.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("alerts: a %T takes no proxy", base)
	}

	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return nil, errors.New("alerts: the address of the proxy is not an absolute URL")
	}

	transport = transport.Clone()
	transport.Proxy = http.ProxyURL(u)

	return transport, nil
}

// Reloaded queues an alert. It returns at once.
func (a *Alerts) Reloaded(r telemetry.Reloaded) {
	a.offer(a.message(fmt.Sprintf("%sReloader detected changes in *%s* of type *%s* in namespace *%s*. "+
		"Hence reloaded *%s* of type *%s* in namespace *%s*",
		a.prefix, r.Source, r.SourceType, r.Namespace, r.Workload, r.Kind, r.Namespace)))
}

type slackMessage struct {
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color      string `json:"color"`
	AuthorName string `json:"author_name"`
	Text       string `json:"text"`
}

type textMessage struct {
	Text string `json:"text"`
}

func (a *Alerts) message(text string) message {
	switch a.format {
	case configv1alpha1.SinkSlack:
		return inJSON(slackMessage{[]slackAttachment{{Color: "good", AuthorName: "Reloader", Text: text}}})
	case configv1alpha1.SinkTeams, configv1alpha1.SinkGoogleChat:
		return inJSON(textMessage{text})
	case configv1alpha1.SinkRaw:
	}

	return message{"text/plain", []byte(strings.ReplaceAll(text, "*", ""))}
}

func inJSON[T slackMessage | textMessage](v T) message {
	// Structs of strings always marshal.
	body, _ := json.Marshal(v) //nolint:errchkjson // see above

	return message{"application/json", body}
}
