package notify

import (
	"time"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
)

// Webhook is called for every change of a source. A receiver that cannot be reached or fails is tried again.
type Webhook struct{ *sender }

// SinkWebhook is how the metric of dropped notifications calls the webhook.
const SinkWebhook = "webhook"

// NewWebhook makes the webhook of a validated configuration; nothing is sent before Start.
func NewWebhook(c configv1alpha1.ReloadWebhook, o Options) (*Webhook, error) {
	s, err := newSender(o, SinkWebhook, c.URL)
	if err != nil {
		return nil, err
	}

	s.timeout = c.Timeout.Duration
	s.tries = 6 // with the pauses between them, about fifteen seconds
	s.firstPause = 500 * time.Millisecond

	return &Webhook{s}, nil
}

// Changed queues one call. It returns at once.
func (w *Webhook) Changed() {
	w.offer(message{"application/json", []byte(`{"webhook":"update successful"}`)})
}
