package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"farthing/internal/postgres"
)

// pg is PostgreSQL with synchronous_commit on, as it comes.
type pg struct {
	server *postgres.Server
	dsn    string
	shard  int
	name   string
}

// The schema. An event is its own double entry: a row that names payer, payee and amount cannot be out of balance. A balance is kept in a row for each
// connection that changes it and summed up when it is read, so that the payees' rows, which are in every batch, make nobody wait: tried with one row an
// account, in the order of their numbers so that nothing deadlocks, batches went through one after the other.
const pgSchema = `
CREATE TABLE events (id text COLLATE "C" PRIMARY KEY, payer int NOT NULL, payee int NOT NULL, amount bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE balances (account int, shard int, amount numeric NOT NULL, PRIMARY KEY (account, shard)) WITH (fillfactor = 50);`

const pgBook = `
WITH fresh AS (
	INSERT INTO events (id, payer, payee, amount)
	SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::bigint[])
	ON CONFLICT DO NOTHING RETURNING payer, payee, amount
), sums AS (
	SELECT account, sum(amount) AS amount FROM (
		SELECT payer AS account, -amount AS amount FROM fresh UNION ALL SELECT payee, amount FROM fresh
	) entries GROUP BY account
), moved AS (
	INSERT INTO balances AS b (account, shard, amount) SELECT account, $5, amount FROM sums
	ON CONFLICT (account, shard) DO UPDATE SET amount = b.amount + excluded.amount
)
SELECT count(*) FROM fresh`

// NewPostgres starts PostgreSQL in a directory of dir.
func NewPostgres(ctx context.Context, dir string) (Peer, error) {
	server, err := postgres.Start(dir, "shared_buffers=1GB", "max_wal_size=8GB", "max_connections=300")
	if errors.Is(err, postgres.ErrMissing) {
		return nil, fmt.Errorf("PostgreSQL: %w", ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	p := &pg{server: server}
	err = server.CreateDatabase(ctx, "peers")
	if err == nil {
		p.dsn = server.DSN("peers")
		_, err = server.Query(ctx, "peers", pgSchema)
	}
	if err == nil {
		p.name, err = server.Query(ctx, "peers", "SHOW server_version")
	}
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return p, nil
}

// Name says which release.
func (p *pg) Name() string { return "PostgreSQL " + p.name }

// Notes is what differs.
func (p *pg) Notes() []string {
	return []string{
		"fsync and synchronous_commit are on; shared_buffers 1 GB, max_wal_size 8 GB, over a Unix socket; one statement books a batch",
		"it gets amounts that are rated already, parses no JSON, and keeps no hash chain, evidence or index by account",
		"its balances are exact to 10⁻⁹ in sums, and its events can be queried by SQL",
	}
}

// Open has nothing to do: a balance begins with its first event.
func (p *pg) Open(context.Context, int) error { return nil }

// Connect is of Peer.
func (p *pg) Connect(ctx context.Context) (Connection, error) {
	conn, err := pgx.Connect(ctx, p.dsn)
	if err != nil {
		return nil, err
	}
	p.shard++
	return &pgConnection{conn: conn, shard: p.shard}, nil
}

// Balances is of Peer.
func (p *pg) Balances(ctx context.Context) (events int64, balances []int64, err error) {
	conn, err := pgx.Connect(ctx, p.dsn)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM events").Scan(&events); err != nil {
		return 0, nil, err
	}
	rows, err := conn.Query(ctx, "SELECT account, sum(amount)::bigint FROM balances GROUP BY account ORDER BY account")
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var account int
		var amount int64
		if err := rows.Scan(&account, &amount); err != nil {
			return 0, nil, err
		}
		balances = put(balances, account, amount)
	}
	return events, balances, rows.Err()
}

// put sets an element, of a list that grows as it has to.
func put(list []int64, i int, v int64) []int64 {
	for len(list) <= i {
		list = append(list, 0)
	}
	list[i] = v
	return list
}

// Stop ends the server and removes its files.
func (p *pg) Stop() error { return p.server.Stop() }

type pgConnection struct {
	conn           *pgx.Conn
	shard          int
	ids            []string
	payers, payees []int32
	amounts        []int64
}

// Book is of Connection.
func (c *pgConnection) Book(ctx context.Context, events []Event) (fresh int, err error) {
	c.ids, c.payers, c.payees, c.amounts = c.ids[:0], c.payers[:0], c.payees[:0], c.amounts[:0]
	for _, e := range events {
		c.ids, c.payers, c.payees, c.amounts = append(c.ids, e.ID), append(c.payers, int32(e.Payer)), append(c.payees, int32(e.Payee)), append(c.amounts, e.Amount)
	}
	err = c.conn.QueryRow(ctx, pgBook, c.ids, c.payers, c.payees, c.amounts, c.shard).Scan(&fresh)
	return fresh, err
}

// Close is of Connection.
func (c *pgConnection) Close() error { return c.conn.Close(context.Background()) }
