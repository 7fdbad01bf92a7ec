package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

// linesPage is how many lines are read at once to hash them.
const linesPage = 1000

// applyManifest makes a batch visible once its lines, which are here, agree with it.
func (a *applier) applyManifest(ctx context.Context, tx pgx.Tx, r *kgo.Record) error {
	keyID, err := a.keys.check(r)
	if err != nil {
		return err
	}
	var m struct {
		BatchID   string `json:"batch_id"`
		LinesHash string `json:"lines_hash"`
	}
	if err := json.Unmarshal(r.Value, &m); err != nil {
		return err
	}
	hash, err := hashLines(ctx, tx, m.BatchID)
	if err != nil {
		return err
	}
	if hash != m.LinesHash {
		return fmt.Errorf("the lines have the hash %s, the manifest says %s", hash, m.LinesHash)
	}
	var good bool
	if err := tx.QueryRow(ctx, `SELECT lines_add_up($1)`, string(r.Value)).Scan(&good); err != nil {
		return err
	}
	if !good {
		return errors.New("the lines do not add up to the manifest")
	}
	_, err = tx.Exec(ctx, `SELECT apply_manifest($1, $2)`, string(r.Value), keyID)
	return err
}

// hashLines is SHA-256 of the batch's line records, one after the other. It reads what was stored, page by page: the lines came in any
// number of transactions, and of processes.
func hashLines(ctx context.Context, tx pgx.Tx, batchID string) (string, error) {
	hash := sha256.New()
	for last, more := int64(0), true; more; {
		rows, err := tx.Query(ctx, `SELECT line, record FROM line WHERE batch_id = $1 AND line > $2 ORDER BY line LIMIT $3`, batchID, last, linesPage)
		if err != nil {
			return "", err
		}
		n := 0
		var record string
		_, err = pgx.ForEachRow(rows, []any{&last, &record}, func() error {
			n++
			_, err := hash.Write([]byte(record))
			return err
		})
		if err != nil {
			return "", err
		}
		more = n == linesPage
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
