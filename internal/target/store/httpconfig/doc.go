// Package httpconfig drives HTTP endpoints that take a configuration, as Caddy does, or reload one that they read from
// elsewhere, as Prometheus does. Which requests do that is said by the LiveStore.
//
// What an endpoint has is asked with the read request. Without one a setting is hidden: whether it has to be sent is decided by
// what was recorded. An ETag of the answer, in its header or trailer, is sent with the next change as If-Match, so that an
// endpoint which looks at it does not overwrite what somebody else has written meanwhile; that is an error, after which
// the endpoint is read again. Two documents are the same if they are the same as JSON, two other texts if they differ by a line end at
// most.
//
// An answer of 2xx says that a change was taken. Where the LiveStore names an effect, the change was made only once that shows:
// it is asked for again, at growing intervals, until the time for a command is over. An endpoint that reads a file which
// the kubelet projects can be told to reload before the new file is there, and then says that all is well: only an effect that
// tells one content from another helps.
//
// Answers of 4xx and 3xx are refusals, those of 5xx and no answers may be either way. Redirects are not followed, no proxy is
// used, and nothing but the endpoint's own host is ever connected to. No more than 4 MiB of an answer are read, and nothing of
// it is passed on: it may repeat the value.
package httpconfig
