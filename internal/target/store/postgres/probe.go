package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The mark is a digest of everything that Read may report: what is in force, what waits for a restart, what is set for
// roles and databases and, as far as this user may see it, what is in the files and the verifiers. A new
// connection may give another mark once more: what is set for our own role and database holds for it alone.
const (
	markQuery = `SELECT encode(sha256(convert_to(concat_ws(E'\n', %s), 'UTF8')), 'hex')`
	markOfAll = `(SELECT string_agg(concat_ws('=', name, reset_val, pending_restart), E'\n' ORDER BY name COLLATE "C") FROM pg_catalog.pg_settings),
	(SELECT string_agg(concat_ws('=', setdatabase, setrole, setconfig), E'\n' ORDER BY setdatabase, setrole) FROM pg_catalog.pg_db_role_setting)`
	markOfFiles = `,
	(SELECT string_agg(concat_ws('=', sourcefile, seqno, name, setting, error), E'\n' ORDER BY seqno) FROM pg_catalog.pg_file_settings)`
	markOfVerifiers = `,
	(SELECT string_agg(concat_ws('=', oid, rolpassword), E'\n' ORDER BY oid) FROM pg_catalog.pg_authid)`
)

// Probe returns the mark.
func (s *session) Probe(ctx context.Context) (string, error) {
	var mark string

	err := s.use(ctx, func(ctx context.Context, p *place) error {
		f, batch := &facts{}, &pgx.Batch{}
		batch.Queue(identityQuery).QueryRow(func(row pgx.Row) error {
			return row.Scan(&f.user, &f.database, &f.reloadable, &f.showable, &f.verifiable)
		})

		if err := s.send(ctx, p.connection, batch); err != nil {
			return err
		}

		what := markOfAll
		if f.showable {
			what += markOfFiles
		}

		if f.verifiable {
			what += markOfVerifiers
		}

		return s.run(ctx, func(ctx context.Context) error {
			return p.connection.QueryRow(ctx, fmt.Sprintf(markQuery, what)).Scan(&mark)
		})
	})

	return mark, err
}
