package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// Driver opens sessions with one type of store.
type Driver struct {
	Type lockstepv1alpha1.StoreType
	// Together says that all endpoints are one store and a session is with all of them. Without it each endpoint is a node with
	// settings of its own, and a session is with one.
	Together bool
	// Normalise returns the one spelling of a setting that has several for the store; nil when no setting has. It is pure.
	Normalise func(live.Setting) live.Setting
	// Open connects and logs in. It takes no longer than the target's Connect. ErrLogin is matched when the store is there and
	// does not let us in; any other error says that it cannot be reached.
	Open func(ctx context.Context, t Target) (Session, error)
}

// Target is where a store is and how to log in.
type Target struct {
	// Endpoints are all of a store whose driver takes them together, else one.
	Endpoints []string
	// Username and Password are empty where there are none.
	Username, Password string
	// TLS is nil for connections in clear.
	TLS *tls.Config
	// Database to connect to; empty for the default.
	Database string
	// Persist makes the store keep what is set beyond its restart.
	Persist bool
	// Connect and Command are how long a connection and a command may take. Both are above zero.
	Connect, Command time.Duration
	// HTTP is nil but for [lockstepv1alpha1.StoreHTTP].
	HTTP *lockstepv1alpha1.HTTPStore
}

// Session is a connection that lives long. It is safe for concurrent use. No call takes much longer than the target's
// Command for each command that it needs, whatever the store does.
type Session interface {
	// Read returns what the store says of each setting now, in their order: not from memory, and as seen by a session that is
	// new where that matters. What is wrong with one setting is in its state; an error is about the store.
	Read(ctx context.Context, settings []live.Setting) ([]live.State, error)
	// Apply makes the changes in their order, as much at once as the store can. After an error nobody knows what was made of
	// them: read them back. [RefusedError] says that the store answered and will not do it.
	Apply(ctx context.Context, changes []live.Change) error
	// Version is what the store says of itself, such as "PostgreSQL 15.18".
	Version() string
	// Close ends the session. Calls under way end with an error.
	Close()
}

// Checker is a session that can judge a change as a whole before anything is written.
type Checker interface {
	// Check returns a [RefusedError] when the store would not make the changes. It writes nothing.
	Check(ctx context.Context, changes []live.Change) error
}

// Prober is a session that can tell cheaply whether somebody may have changed something.
type Prober interface {
	// Probe returns a mark that is another one once any setting of the store has changed. An error that is [ErrNoProbe] says
	// that this user may not ask.
	Probe(ctx context.Context) (string, error)
}

// Watcher is a session whose store tells of changes itself.
type Watcher interface {
	// Watch calls changed for every setting of these that somebody, also we, has changed since the call, until the context ends
	// (nil) or the watch breaks (an error). Before that it calls ready once the store has taken the watch.
	Watch(ctx context.Context, settings []live.Setting, ready func(), changed func(live.Setting)) error
}

// Witness is a session whose store knows which processes take its settings up when they start.
type Witness interface {
	// Running returns for each setting, in their order, the processes that run now and have read it when they started. Each
	// has a name that no later process has, which begins with that of the daemon: "client.rgw.a/4711". It is nil for a setting
	// of which that cannot be told, and empty when there are none. An error that is [ErrNoProbe] says that this user may not
	// ask; any other that nobody could be asked now, which is no reason to think the session broken.
	Running(ctx context.Context, settings []live.Setting) ([][]string, error)
}

// Authenticator is a session that can try a password.
type Authenticator interface {
	// Accepts tells whether the role can log in with the password, by a login of its own.
	Accepts(ctx context.Context, role, password string) (bool, error)
}

// Retirer is a session whose store can hold two valid passwords of one role.
type Retirer interface {
	// Retire makes the password the only one that is valid for the role. Nothing changes if it is already.
	Retire(ctx context.Context, role, password string) error
}

// ErrLogin is matched by errors of a store that is there and does not let us in.
var ErrLogin = errors.New("the store does not let us in")

// ErrNoProbe is matched when the store does not let this user ask.
var ErrNoProbe = errors.New("the probe is not permitted")

// RefusedError says that a store has answered and will not do it: asking again changes nothing.
type RefusedError struct {
	// Setting that was refused; the zero Setting when it was the whole change.
	Setting live.Setting
	// Reason completes a sentence that begins with the setting's name, or with "the store". It has no value in it.
	Reason string
}

// Error names the setting and the reason.
func (e *RefusedError) Error() string {
	if e.Setting == (live.Setting{}) {
		return "the store refuses: " + e.Reason
	}

	return fmt.Sprintf("the store refuses %s: %s", e.Setting.ID(), e.Reason)
}
