// Package notify tells the world outside the cluster what happened: alerts to people, and the webhook that is called
// instead of reloading. Nothing here ever blocks a caller: every receiver has a bounded queue and a worker of its own,
// and every request a timeout. Addresses may hold tokens, so a log line names the host alone.
package notify
