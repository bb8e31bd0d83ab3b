package redis

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// nobody is the name of a parameter that there is not: with it CONFIG SET fails before it looks at any value.
const nobody = "lockstep-asks-whether-it-can-be-set"

// Read implements [store.Session].
func (s *session) Read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	states := make([]live.State, len(settings))
	r := reading{server: s.serverNow(), values: map[string]string{}, users: map[string]*goredis.Cmd{}, questions: map[string]*goredis.Cmd{}}
	for i, setting := range settings {
		states[i] = live.State{Setting: setting, Problem: misplaced(setting)}
		if states[i].Problem == nil {
			s.ask(ctx, &r, setting)
		}
	}
	if err := s.send(ctx, r.commands(ctx)...); err != nil {
		return nil, err
	}
	if err := s.take(&r); err != nil {
		return nil, err
	}
	for i := range states {
		state := &states[i]
		switch {
		case state.Problem != nil:
		case state.Setting.Password:
			if err := s.password(&r, state); err != nil {
				return nil, err
			}
		default:
			s.parameter(&r, state)
		}
	}

	return states, nil
}

// reading is what one Read asks and gets.
type reading struct {
	server server
	// names are the parameters, as the server calls them, each once.
	names []string
	gets  []*goredis.Cmd
	// denied says that our user may not read parameters.
	denied bool
	values map[string]string
	// questions ask whether parameters, by their normalised names, can be set.
	questions map[string]*goredis.Cmd
	users     map[string]*goredis.Cmd
}

// ask adds what has to be asked for a setting.
func (s *session) ask(ctx context.Context, r *reading, setting live.Setting) {
	if setting.Password {
		if r.users[setting.Role] == nil {
			r.users[setting.Role] = command(ctx, aclGetUser, setting.Role)
		}

		return
	}
	name := Normalise(setting).Name
	if r.values[name] != "" {
		return
	}
	r.values[name] = "asked"
	r.names = append(r.names, serverName(name, r.server.major))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.settable[name]; !known {
		r.questions[name] = command(ctx, configSet, serverName(name, r.server.major), "", nobody, "")
	}
}

// commands are all that is asked. Before 7.0 a CONFIG GET has one name.
func (r *reading) commands(ctx context.Context) []*goredis.Cmd {
	clear(r.values)
	switch {
	case len(r.names) == 0:
	case r.server.major >= 7:
		r.gets = append(r.gets, command(ctx, configGet, r.names...))
	default:
		for _, name := range r.names {
			r.gets = append(r.gets, command(ctx, configGet, name))
		}
	}
	all := r.gets
	for _, c := range r.questions {
		all = append(all, c)
	}
	for _, c := range r.users {
		all = append(all, c)
	}

	return all
}

// take takes the answers about parameters. An error is about the server.
func (s *session) take(r *reading) error {
	for _, get := range r.gets {
		reply, err := get.Slice()
		switch f, answered := failed(err); {
		case err == nil:
			for name, value := range readPairs(reply) {
				r.values[Normalise(live.Setting{Name: name}).Name] = value
			}
		case answered && f.code == denied:
			r.denied = true
		default:
			return s.trouble(configGet, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, question := range r.questions {
		f, _ := failed(question.Err())
		// Any answer but these says nothing against it: other servers than those that are known here word it in other ways.
		switch _, reason := f.refused(); {
		case f.code == denied:
			s.settable[name] = s.lacks(configSet)
		case reason == reasonImmutable:
			s.settable[name] = fixedText
		case reason == reasonProtected:
			s.settable[name] = protectedText
		default:
			s.settable[name] = ""
		}
	}

	return nil
}

// parameter says what was read of a parameter.
func (s *session) parameter(r *reading, state *live.State) {
	name := Normalise(state.Setting).Name
	state.NoUnset = true
	value, known := r.values[name]
	s.mu.Lock()
	hindrance := s.settable[name]
	s.mu.Unlock()
	switch {
	case r.denied:
		state.Problem = &live.Problem{Cause: live.CauseDenied, Message: "cannot be read: " + s.lacks(configGet)}

		return
	case !known:
		state.Problem = &live.Problem{Cause: live.CauseUnknown, Message: unknownText}

		return
	}
	state.Stored, state.Running = live.Text(value), live.Text(value)
	switch hindrance {
	case "":
		state.Rule = s.rule(name, r.server)
		if why := dangerous(name); why != "" {
			state.Problem = &live.Problem{Cause: live.CauseDangerous, Message: why}
		}
	case fixedText, protectedText:
		state.Problem = &live.Problem{Cause: live.CauseFixed, Message: hindrance}
	default:
		state.Problem = &live.Problem{Cause: live.CauseDenied, Message: "cannot be set: " + hindrance}
	}
}

func (s *session) rule(name string, at server) rule {
	return rule{form: s.form(name), strict: at.strict()}
}

func (s *session) form(name string) form {
	if f, ok := s.forms[name]; ok {
		return f
	}

	return unknown{}
}

// password says what was read of a user's password.
func (s *session) password(r *reading, state *live.State) error {
	reply, err := r.users[state.Setting.Role].Slice()
	switch f, answered := failed(err); {
	case isNil(err):
		state.Problem = &live.Problem{Cause: live.CauseUnknown, Message: "is of a user that this server does not have; create it with ACL SETUSER first"}

		return nil
	case answered && f.code == denied:
		state.Problem = &live.Problem{Cause: live.CauseDenied, Message: "cannot be read: " + s.lacks(aclGetUser)}

		return nil
	case err != nil:
		return s.trouble(aclGetUser, err)
	}
	state.Stored = verifier(readUser(reply))
	state.Running, state.Rule = state.Stored, passwordRule{}
	if state.Setting.Role == defaultUser {
		state.Problem = &live.Problem{
			Cause:   live.CauseDangerous,
			Message: "is of the user that all clients are which log in without a name",
		}
	}

	return nil
}

// misplaced says why a setting cannot be one of Redis.
func misplaced(s live.Setting) *live.Problem {
	scope := ""
	switch {
	case s.Who != "":
		scope = "a section"
	case s.Database != "":
		scope = "a database"
	case s.Prefix != "":
		scope = "a prefix"
	case s.Role != "" && !s.Password:
		scope = "a role"
	}
	switch {
	case scope != "":
		return &live.Problem{
			Cause:   live.CauseUnknown,
			Message: fmt.Sprintf("is given %s, which Redis does not have: its settings are those of the whole server", scope),
		}
	case s.Password && s.Role == "":
		return &live.Problem{Cause: live.CauseUnknown, Message: "needs a role: the name of a user"}
	case !s.Password && !validName.MatchString(s.Name):
		return &live.Problem{Cause: live.CauseUnknown, Message: unknownText}
	default:
		return nil
	}
}
