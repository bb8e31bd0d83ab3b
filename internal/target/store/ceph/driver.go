package ceph

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"k8s.io/utils/clock"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
)

// Driver returns the driver. Its Open fails with a [*rados.MissingLibraryError] where librados is not installed, and with
// [rados.ErrNotBuilt] where the program was built without it. It is safe for concurrent use, and all its sessions share
// the library.
func Driver(clk clock.Clock) store.Driver {
	library := rados.New()

	return store.Driver{
		Type:      lockstepv1alpha1.StoreCeph,
		Together:  true,
		Normalise: Normalise,
		Open: func(ctx context.Context, t store.Target) (store.Session, error) {
			s, err := open(ctx, library, clk, t)
			if err != nil {
				return nil, err
			}

			return s, nil
		},
	}
}

func open(ctx context.Context, library *rados.Library, clk clock.Clock, t store.Target) (*session, error) {
	if err := checkLogin(t); err != nil {
		return nil, err
	}

	slow := fmt.Errorf("no answer within %s", t.Connect)

	ctx, cancel := context.WithTimeoutCause(ctx, t.Connect, slow)
	defer cancel()

	hosts := strings.Join(t.Endpoints, ",")

	cluster, err := library.Connect(ctx, rados.Options{
		Hosts: hosts, Entity: t.Username, Key: t.Password, Connect: t.Connect, Command: t.Command,
	})
	if err != nil {
		return nil, unopened(t.Username, hosts, err)
	}

	s := newSession(cluster, t.Username, clk, t.Command)

	if err := s.learnVersion(ctx); err != nil {
		cluster.Close()

		return nil, unopened(t.Username, hosts, err)
	}

	return s, nil
}

func unopened(entity, hosts string, err error) error {
	_, missing := errors.AsType[*rados.MissingLibraryError](err)

	switch {
	case missing, errors.Is(err, rados.ErrNotBuilt):
		return err
	case denied(err):
		return fmt.Errorf("log in to the monitors %s as %s: %w: they do not know the entity, its key is another one, or it has no capabilities for them: %w",
			hosts, entity, store.ErrLogin, err)
	default:
		return fmt.Errorf("reach the monitors %s: %w", hosts, err)
	}
}

// checkLogin refuses what librados would not tell from an address that it cannot use.
func checkLogin(t store.Target) error {
	kind, name, _ := strings.Cut(t.Username, ".")

	switch {
	case kind == "" || name == "":
		return fmt.Errorf("%w: the user has to be an entity such as client.lockstep", store.ErrLogin)
	case !isKey(t.Password):
		return fmt.Errorf("%w: the password of %s has to be the entity's key, as `ceph auth get-key` prints it", store.ErrLogin, t.Username)
	}

	return nil
}

// isKey says whether a text is a key: a type, a time and a secret with its length.
func isKey(text string) bool {
	const header = 12

	raw, err := base64.StdEncoding.DecodeString(text)

	return err == nil && len(raw) > header && int(binary.LittleEndian.Uint16(raw[header-2:])) == len(raw)-header
}
