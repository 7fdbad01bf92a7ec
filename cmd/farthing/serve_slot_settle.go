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

// Result implements httpapi.Engine.
func (s *engineSlot) Result(r engine.LineResult) (engine.LineResultAnswer, bool, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) (engine.LineResultAnswer, bool, *refusal.Refusal) { return e.Result(r) })
}

// LineState implements httpapi.Engine.
func (s *engineSlot) LineState(batchID string, line uint32) (engine.LineState, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.LineState, *refusal.Refusal) { return e.LineState(batchID, line) })
}

// OpenLines implements httpapi.Engine.
func (s *engineSlot) OpenLines(batchID, cursor string, limit int) (engine.Page[engine.LineState], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[engine.LineState], *refusal.Refusal) {
		return e.OpenLines(batchID, cursor, limit)
	})
}

// InTransit implements httpapi.Engine.
func (s *engineSlot) InTransit(cursor string, limit int) (engine.Page[engine.InTransit], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[engine.InTransit], *refusal.Refusal) {
		return e.InTransit(cursor, limit)
	})
}

// Proof implements httpapi.Engine.
func (s *engineSlot) Proof(source, id string) (engine.Proof, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Proof, *refusal.Refusal) { return e.Proof(source, id) })
}

// Keys implements httpapi.Engine.
func (s *engineSlot) Keys() ([]engine.SigningKey, *refusal.Refusal) {
	return call(s, (*engine.Engine).Keys)
}
