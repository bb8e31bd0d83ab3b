package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Probe is that of [store.Prober]. The mark is a digest of all global variables, of all accounts where this user may see them, and of
// when the server has started. Of values above 2048 characters it sees the beginning.
func (s *session) Probe(ctx context.Context) (string, error) {
	if s.make == MySQL || s.blind.Load() {
		return s.mark(ctx, "NULL")
	}
	mark, err := s.mark(ctx, "(SELECT BIT_XOR("+digestOf("User", "Host", "Priv")+") FROM mysql.global_priv)")
	if errors.Is(err, errDenied) {
		s.blind.Store(true)

		return s.mark(ctx, "NULL")
	}

	return mark, err
}

// mark asks for the digests; their order does not matter, so the server need not sort.
func (s *session) mark(ctx context.Context, accounts string) (string, error) {
	schema := "information_schema"
	if s.make == MySQL {
		schema = "performance_schema"
	}
	query := fmt.Sprintf(`SELECT CONCAT_WS('-', COUNT(*), BIT_XOR(%s), %s,
		(SELECT UNIX_TIMESTAMP() - VARIABLE_VALUE FROM %s.%s WHERE VARIABLE_NAME = 'Uptime'))
		FROM %s.%s WHERE VARIABLE_NAME NOT IN (%s)`,
		digestOf("VARIABLE_NAME", "VARIABLE_VALUE"), accounts,
		schema, "global_status", schema, "global_variables", list(moving()))
	var mark string
	err := s.rows(ctx, query, func(scan func(...any) error) error { return scan(&mark) })

	return mark, err
}

// digestOf is 64 bits of a digest of columns, as a number.
func digestOf(columns ...string) string {
	texts := make([]string, len(columns))
	for i, column := range columns {
		texts[i] = "COALESCE(" + column + ", '')"
	}

	return "CONV(LEFT(MD5(CONCAT_WS(0x1f, " + strings.Join(texts, ", ") + ")), 16), 16, 10)"
}
