package engine

import (
	"farthing/refusal"
)

// subscription is what a subscription began as; what it is now is in its row.
type subscription struct{ id string }

// planRow is a subscription's state.
type planRow struct{ number uint64 }

type subscribe struct{ name string }

func (c *subscribe) kind() byte                    { return kindSubscribe }
func (c *subscribe) id() string                    { return c.name }
func (c *subscribe) append(dst []byte) []byte      { return dst }
func (r *reader) subscribe() *subscribe            { r.fail(); return &subscribe{} }
func (c *subscribe) check(*state) *refusal.Refusal { return notYet() }
func (c *subscribe) apply(*state)                  {}
func (c *subscribe) transfers(*tables) []transfer  { return nil }

type planChange struct{ name string }

func (c *planChange) kind() byte                    { return kindChange }
func (c *planChange) id() string                    { return c.name }
func (c *planChange) append(dst []byte) []byte      { return dst }
func (r *reader) change() *planChange               { r.fail(); return &planChange{} }
func (c *planChange) check(*state) *refusal.Refusal { return notYet() }
func (c *planChange) apply(*state)                  {}
func (c *planChange) transfers(*tables) []transfer  { return nil }

type planPeriod struct{ number uint64 }

func (c *planPeriod) kind() byte                    { return kindPeriod }
func (c *planPeriod) append(dst []byte) []byte      { return dst }
func (r *reader) period() *planPeriod               { r.fail(); return &planPeriod{} }
func (c *planPeriod) check(*state) *refusal.Refusal { return notYet() }
func (c *planPeriod) apply(*state)                  {}
func (c *planPeriod) transfers(*tables) []transfer  { return nil }

// periodOf is the next period of a subscription, if it is due.
func (s *state) periodOf(n uint32, now int64) *planPeriod { return nil }
