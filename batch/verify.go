package batch

import (
	"fmt"
	"iter"
)

// VerifyLines proves that the records are the lines of m: each is canonical,
// belongs to the batch and adds up; they are numbered from 1 without a gap,
// sorted by account, and the operator is among them; and their number, sums,
// events and hash are those of the manifest. The first difference is returned:
// ErrFormat, ErrEquation, ErrMismatch, ErrUnbalanced, or the error that the
// sequence itself yields. A record is not kept after its turn.
func VerifyLines(m *Manifest, records iter.Seq2[[]byte, error]) error {
	if err := m.check(); err != nil {
		return err
	}
	v := verifier{scope: m.Scope(), hash: NewLinesHash()}
	for record, err := range records {
		if err != nil {
			return fmt.Errorf("batch: reading line %d: %w", v.count+1, err)
		}
		if err := v.record(record); err != nil {
			return err
		}
	}
	return v.finish(m)
}

// verifier is the state of one VerifyLines call.
type verifier struct {
	scope    Scope
	hash     *LinesHash
	sums     Sums
	count    uint32
	last     string // account of the line before
	operator bool
}

func (v *verifier) record(record []byte) error {
	scope, line, err := ParseLine(record)
	switch {
	case err != nil:
		return fmt.Errorf("line %d: %w", v.count+1, err)
	case scope != v.scope:
		return fmt.Errorf("%w: line %d: other batch, partition, window or currency", ErrMismatch, v.count+1)
	case line.Line != v.count+1:
		return fmt.Errorf("%w: line %d where %d should be", ErrMismatch, line.Line, v.count+1)
	case line.Account <= v.last:
		return fmt.Errorf("%w: line %d: account %q not after %q", ErrMismatch, line.Line, line.Account, v.last)
	}
	v.count, v.last = line.Line, line.Account
	v.operator = v.operator || line.Account == OperatorAccount
	v.hash.Add(record)
	return v.sums.add(&line)
}

func (v *verifier) finish(m *Manifest) error {
	switch {
	case v.count != m.Lines:
		return fmt.Errorf("%w: %d lines, the manifest says %d", ErrMismatch, v.count, m.Lines)
	case !v.operator:
		return fmt.Errorf("%w: no line of account %q", ErrMismatch, OperatorAccount)
	case v.sums != m.Sums:
		return fmt.Errorf("%w: sums %+v, the manifest says %+v", ErrMismatch, v.sums, m.Sums)
	case v.hash.Sum() != m.LinesHash:
		return fmt.Errorf("%w: hash of the lines", ErrMismatch)
	}
	return nil
}
