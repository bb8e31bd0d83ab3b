package ceph

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// Probe returns the newest version of the database. To an entity that may not see the log of changes, which has every
// value that ever was, it returns a digest of what is stored, by a key of this session alone.
func (s *session) Probe(ctx context.Context) (string, error) {
	if !s.noLog.Load() {
		question := ask("config log")
		question["num"] = 1

		reply, err := s.do(ctx, question)
		if err == nil {
			version, err := parseLog(reply.Out)

			return fmt.Sprintf("version %d", version), err
		}

		if !denied(err) {
			return "", err
		}

		s.noLog.Store(true)
	}

	reply, err := s.do(ctx, ask("config dump"))

	switch {
	case err == nil:
		mac := hmac.New(sha256.New, s.seed)
		mac.Write(reply.Out)

		return "digest " + hex.EncodeToString(mac.Sum(nil)), nil
	case denied(err):
		return "", errors.Join(store.ErrNoProbe, err)
	default:
		return "", err
	}
}
