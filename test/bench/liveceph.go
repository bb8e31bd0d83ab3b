package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
)

const (
	// cephOption takes any text, and is a secret that people rotate.
	cephOption = "rgw_keystone_admin_password"
	// cephSections begins the sections that the controller may change, and handSections those that the benchmark does.
	cephSections = "client.rgw."
	handSections = "client.hand."
	// burstGlance is the pause between two looks at the version of the database: a look takes a monitor's time.
	burstGlance = 10 * time.Millisecond
)

// cephServer is a monitor.
type cephServer struct {
	*localstore.Ceph

	lookout lookout
}

func startCeph(ctx context.Context, look lookout, o localstore.Options) (liveServer, error) {
	server, err := localstore.StartCeph(ctx, localstore.CephOptions{Options: o})
	if err != nil {
		return nil, err
	}
	return &cephServer{Ceph: server, lookout: look}, nil
}

func (c *cephServer) spec() lockstepv1alpha1.LiveStoreSpec {
	return lockstepv1alpha1.LiveStoreSpec{Type: lockstepv1alpha1.StoreCeph, Endpoints: []string{c.Endpoint()}}
}

func (c *cephServer) login(ctx context.Context) (username, password string, err error) {
	const entity = "client." + liveUser
	caps, err := ceph.Caps([]ceph.Grant{{Who: cephSections, WhoPrefix: true}}, true)
	if err != nil {
		return "", "", err
	}
	key, err := c.AddEntity(ctx, entity, caps)
	return entity, key, err
}

func (*cephServer) setting() lockstepv1alpha1.LiveSetting { return cephSetting("single") }

// cephSetting is the option in a section of its own.
func cephSetting(section string) lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{LiveScope: lockstepv1alpha1.LiveScope{Who: cephSections + section}, Name: cephOption}
}

func (*cephServer) text(edit int) string { return "password-" + strconv.Itoa(edit) }

func (c *cephServer) byHand(ctx context.Context, edit int) (time.Duration, error) {
	return c.lookout.timed(func() error { return c.set(ctx, handSections+"single", c.text(edit)) })
}

// allByHand sets the option in n sections, one after the other.
func (c *cephServer) allByHand(ctx context.Context, n, edit int) (time.Duration, error) {
	return c.lookout.timed(func() error {
		for _, section := range numbered("burst", n) {
			if err := c.set(ctx, handSections+section, c.text(edit)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *cephServer) set(ctx context.Context, who, text string) error {
	_, err := c.Admin().Do(ctx, map[string]any{"prefix": "config set", "who": who, "name": cephOption, "value": text})
	if err != nil {
		return fmt.Errorf("set an option of Ceph by hand: %w", err)
	}
	return nil
}

func (c *cephServer) aim(ctx context.Context, text string) (func() (time.Time, error), error) {
	// What an entity would be told is cheaper to ask for than the whole database, and is the same.
	question := map[string]any{"prefix": "config get", "who": cephSections + "single", "key": cephOption}
	return func() (time.Time, error) {
		return c.lookout.until(ctx, func() (bool, error) {
			reply, err := c.Admin().Do(ctx, question)
			return string(reply.Out) == text+"\n", err
		})
	}, nil
}

// awaitAll waits until the sections have the text. Before the database has had as many changes since a version it is
// not even read. It returns how many sections have not got the text within the patience.
func (c *cephServer) awaitAll(
	ctx context.Context, sections []string, text string, version int,
) (at time.Time, left int, err error) {
	look := c.lookout
	look.pause = burstGlance
	for due := version + len(sections); ; due++ {
		at, err = look.until(ctx, func() (bool, error) {
			now, err := c.version(ctx)
			return now >= due, err
		})
		if err != nil {
			return at, len(sections), err
		}
		left, err = c.without(ctx, sections, text)
		if err != nil || left == 0 || at.IsZero() {
			return at, left, err
		}
	}
}

// without counts the sections that do not have the text.
func (c *cephServer) without(ctx context.Context, sections []string, text string) (int, error) {
	var entries []struct{ Section, Name, Value string }
	if err := c.ask(ctx, map[string]any{"prefix": "config dump"}, &entries); err != nil {
		return 0, err
	}
	stored := map[string]string{}
	for _, e := range entries {
		if e.Name == cephOption {
			stored[e.Section] = e.Value
		}
	}
	left := 0
	for _, section := range sections {
		if stored[cephSections+section] != text {
			left++
		}
	}
	return left, nil
}

// version is the number of changes that the database has had.
func (c *cephServer) version(ctx context.Context) (int, error) {
	var log []struct{ Version int }
	if err := c.ask(ctx, map[string]any{"prefix": "config log", "num": 1}, &log); err != nil || len(log) == 0 {
		return 0, err
	}
	return log[0].Version, nil
}

func (c *cephServer) ask(ctx context.Context, command map[string]any, answer any) error {
	command["format"] = "json"
	reply, err := c.Admin().Do(ctx, command)
	if err != nil {
		return fmt.Errorf("ask Ceph: %w", err)
	}
	return decoded(reply.Out, answer)
}

func decoded(text []byte, answer any) error {
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("read what Ceph says: %w", err)
	}
	return nil
}

// counted takes the messages that the monitor has got for commands: those of clients that hold their connection come on top,
// some in a minute.
func (c *cephServer) counted(ctx context.Context) (Counted, error) {
	version, err := c.version(ctx)
	if err != nil {
		return Counted{}, err
	}
	reply, err := c.Admin().Tell(ctx, "a", map[string]any{"prefix": "perf dump", "format": "json"})
	if err != nil {
		return Counted{}, fmt.Errorf("ask the monitor: %w", err)
	}
	var sections map[string]map[string]any
	if err := decoded(reply.Out, &sections); err != nil {
		return Counted{}, err
	}
	counted := Counted{Changes: float64(version)}
	for _, counters := range sections {
		if n, has := counters["msgr_recv_messages"].(float64); has {
			counted.Commands += n
		}
	}
	return counted, nil
}

func (c *cephServer) close(ctx context.Context) error { return c.Stop(ctx) }
