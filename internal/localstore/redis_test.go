package localstore_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestRedisWithAFileKeepsSettingsAndUsersOverAKill(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]localstore.RedisOptions{
		"with a password":      {ConfigFile: true, Password: "a password"},
		"with a file of users": {ConfigFile: true, UsersFile: true},
		"without a password":   {ConfigFile: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := stores.OwnRedis(t, o)
			c := r.Client()
			defer c.Close()
			if err := c.ConfigSet(t.Context(), "maxmemory", "1gb").Err(); err != nil {
				t.Fatal(err)
			}
			if err := c.ConfigRewrite(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if err := r.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := r.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			again := r.Client()
			defer again.Close()
			got, err := again.ConfigGet(t.Context(), "maxmemory").Result()
			if err != nil || got["maxmemory"] != "1073741824" {
				t.Errorf("got %v and %v, want what was set", got, err)
			}
			text, err := os.ReadFile(r.ConfigFile())
			if err != nil || o.Password != "" && strings.Contains(string(text), o.Password) {
				t.Errorf("got %s and %v, want no password in it", text, err)
			}
		})
	}
}

func TestRedisWithoutAFileForgets(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, localstore.RedisOptions{})
	c := r.Client()
	defer c.Close()
	if err := c.ConfigSet(t.Context(), "maxmemory", "1gb").Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := r.Client()
	defer again.Close()
	got, err := again.ConfigGet(t.Context(), "maxmemory").Result()
	if err != nil || got["maxmemory"] != "0" {
		t.Errorf("got %v and %v, want the default", got, err)
	}
}
