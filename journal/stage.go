package journal

import (
	"errors"
	"fmt"
	"io"
)

// Stage is a ledger on its way into a directory: it is filled, and checked, as a ledger directory of its own within the one that it is for, and
// moves there by one rename. So a restore or an import that fails, or is killed, leaves nothing that could be taken for a ledger. What a killed one leaves keeps Create from taking
// the directory for an empty one; the next restore or import removes it.
type Stage struct {
	o     Options // of the directory that it is for
	lock  io.Closer
	fresh bool // the directory was made for it
}

// NewStage makes the stage in Options.Dir, which must be absent or empty; ErrNotEmpty otherwise. It removes what an interrupted one left. The
// directory stays locked until Publish or Discard.
func NewStage(o Options) (*Stage, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	there, err := exists(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(&o)
	if err != nil {
		return nil, err
	}
	s := &Stage{o: o, lock: lock, fresh: !there}
	if err := errors.Join(mustBeEmpty(&o, stageName), s.clear()); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// Options are those of the ledger directory that is to be filled. It is absent.
func (s *Stage) Options() Options {
	o := s.o
	o.Dir = s.o.path(stageName)
	return o
}

// Publish moves the ledger to where it belongs, durably. Nobody may have it open.
func (s *Stage) Publish() error {
	from := s.Options()
	if _, err := locate(&from); err != nil {
		return s.fail(err)
	}
	if err := s.o.FS.Rename(from.path(liveName), s.o.path(liveName)); err != nil {
		return s.fail(fmt.Errorf("journal: publish ledger: %w", err))
	}
	if err := syncDir(s.o.FS, s.o.Dir); err != nil {
		return errors.Join(err, s.lock.Close())
	}
	return errors.Join(s.clear(), s.lock.Close())
}

// Discard removes what was filled, and the directory if it was made for it.
func (s *Stage) Discard() error {
	err := s.clear()
	if s.fresh && err == nil {
		err = s.o.FS.RemoveAll(s.o.Dir)
	}
	return errors.Join(err, s.lock.Close())
}

func (s *Stage) fail(err error) error { return errors.Join(err, s.Discard()) }

func (s *Stage) clear() error {
	if err := s.o.FS.RemoveAll(s.o.path(stageName)); err != nil {
		return fmt.Errorf("journal: remove an interrupted restore or import: %w", err)
	}
	return nil
}

// LockDir takes the lock of a directory, as who opens a ledger in it does: ErrLocked when somebody has it.
func LockDir(o Options) (io.Closer, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	return lockDir(&o)
}
