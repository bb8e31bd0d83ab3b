package redis

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"

	goredis "github.com/redis/go-redis/v9"

	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// Probe implements [store.Prober]: a mark of all parameters, and of all users and the server's run as far as our user may see
// them.
func (s *session) Probe(ctx context.Context) (string, error) {
	parameters := command(ctx, configGet, "*")
	users, run := command(ctx, aclList), command(ctx, info, "server")
	commands := []*goredis.Cmd{parameters}
	s.mu.Lock()
	for name, c := range map[string]*goredis.Cmd{aclList: users, info: run} {
		// The server keeps a log of what is denied, which is not to be filled.
		if !s.mute[name] {
			commands = append(commands, c)
		}
	}
	s.mu.Unlock()
	if err := s.send(ctx, commands...); err != nil {
		return "", err
	}
	reply, err := parameters.Slice()
	if f, answered := failed(err); answered && f.code == denied {
		return "", fmt.Errorf("%s: %w: %s", s.endpoint(), store.ErrNoProbe, s.lacks(configGet))
	}
	if err != nil {
		return "", s.trouble(configGet, err)
	}
	s.learn(aclList, users)
	s.learn(info, run)
	mark := hmac.New(sha256.New, s.key)
	values := readPairs(reply)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		write(mark, name, values[name])
	}
	list, _ := users.Slice() // nothing if it was not asked
	write(mark, texts(list)...)
	write(mark, readInfo(run)["run_id"])

	return hex.EncodeToString(mark.Sum(nil)), nil
}

// learn remembers what our user may not ask.
func (s *session) learn(name string, c *goredis.Cmd) {
	if f, _ := failed(c.Err()); f.code == denied {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mute[name] = true
	}
}

// write writes texts such that no two lists of them are the same to the mark.
func write(mark hash.Hash, texts ...string) {
	for _, text := range texts {
		_, _ = fmt.Fprintf(mark, "%d:%s", len(text), text) // a hash takes everything
	}
}

// Accepts implements [store.Authenticator].
func (s *session) Accepts(ctx context.Context, role, password string) (bool, error) {
	if password == "" {
		return false, nil // the library would not even try
	}
	options, err := s.options(role, password)
	if err != nil {
		return false, err
	}
	options.DB = 0 // the role need not have the right to choose one
	client := goredis.NewClient(options)
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, s.target.Connect)
	defer cancel()
	err = client.Do(ctx, "HELLO", "2").Err()
	if f, answered := failed(err); answered && f.login() {
		return false, nil
	}
	if err != nil {
		return false, s.trouble("log in", err)
	}

	return true, nil
}
