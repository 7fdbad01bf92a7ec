package main

import (
	"farthing/engine"
	"farthing/refusal"
)

// Statements implements httpapi.Engine.
func (s *engineSlot) Statements(account, cursor string, limit int) (engine.Page[engine.StatementLine], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[engine.StatementLine], *refusal.Refusal) {
		return e.Statements(account, cursor, limit)
	})
}

// WindowStatement implements httpapi.Engine.
func (s *engineSlot) WindowStatement(o engine.StatementOptions) (engine.WindowStatement, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.WindowStatement, *refusal.Refusal) { return e.WindowStatement(o) })
}
