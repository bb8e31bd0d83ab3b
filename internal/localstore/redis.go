package localstore

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisOptions say how to start Redis.
type RedisOptions struct {
	Options

	// Password is that of the user default. Empty for a server that lets everybody in.
	Password string
	// ConfigFile gives the server a configuration file, which CONFIG REWRITE needs.
	ConfigFile bool
	// UsersFile gives the server a file of users, which ACL SAVE needs. It comes instead of Password.
	UsersFile bool
	// Args are further arguments.
	Args []string
}

// Redis is a running redis-server. It keeps no data over a restart, and settings only in its configuration file.
type Redis struct {
	*Server

	password string
}

// The names of the files, in the server's directory.
const (
	redisConfigFile = "redis.conf"
	redisUsersFile  = "users.acl"
)

// StartRedis starts redis-server. ctx bounds the start alone. The error is a [*MissingServerError] when it is not installed.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	path, err := Find("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	server, err := newServer("redis", o.Options)
	if err != nil {
		return nil, err
	}
	r := &Redis{Server: server, password: o.Password}
	args, err := r.args(o)
	if err == nil {
		err = r.start(ctx, program{path: path, args: args, ready: r.ready})
	}
	if err != nil {
		return nil, errors.Join(err, r.Stop(ctx))
	}

	return r, nil
}

// ConfigFile is the path of the configuration file, if the server has one.
func (r *Redis) ConfigFile() string { return filepath.Join(r.Dir(), redisConfigFile) }

// UsersFile is the path of the file of users, if the server has one.
func (r *Redis) UsersFile() string { return filepath.Join(r.Dir(), redisUsersFile) }

// Client returns a client of the user default. The caller closes it. It asks nothing twice.
func (r *Redis) Client() *goredis.Client {
	return goredis.NewClient(&goredis.Options{
		Addr: r.Addr(), Password: r.password, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true,
		ContextTimeoutEnabled: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// args writes the files that the server is to have and returns its arguments.
func (r *Redis) args(o RedisOptions) ([]string, error) {
	var user []string
	if o.Password != "" {
		// By its digest: arguments can be seen by everybody.
		digest := sha256.Sum256([]byte(o.Password))
		user = []string{"user", "default", "on", "#" + hex.EncodeToString(digest[:]), "~*", "&*", "+@all"}
	}
	var args []string
	switch {
	case o.ConfigFile:
		// A user is in one place alone, so it must be where CONFIG REWRITE puts it.
		if err := writeFile(r.ConfigFile(), strings.Join(user, " ")+"\n"); err != nil {
			return nil, err
		}
		args = append(args, redisConfigFile)
	case o.Password != "":
		user[0] = "--user"
		args = append(args, user...)
	}
	if o.UsersFile {
		if err := writeFile(r.UsersFile(), "user default on nopass ~* &* +@all\n"); err != nil {
			return nil, err
		}
		args = append(args, "--aclfile", redisUsersFile)
	}
	args = append(args, "--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--save", "", "--appendonly", "no")

	return append(args, o.Args...), nil
}

func writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	return nil
}

// ready asks for a PING. That it wants a password first is an answer too.
func (r *Redis) ready(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return fmt.Errorf("ask redis whether it is ready: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return fmt.Errorf("ask redis whether it is ready: %w", err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("ask redis whether it is ready: %w", err)
	}
	if !strings.HasPrefix(answer, "+PONG") && !strings.HasPrefix(answer, "-NOAUTH") {
		return fmt.Errorf("redis at %s is not ready: %s", r.Addr(), strings.TrimSpace(answer))
	}

	return nil
}
