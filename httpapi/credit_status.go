package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

func (s *Server) postFreeze(c *call) (answer, *refusal.Refusal) { return s.setStatus(c, "freeze") }
func (s *Server) postResume(c *call) (answer, *refusal.Refusal) { return s.setStatus(c, "resume") }
func (s *Server) postClose(c *call) (answer, *refusal.Refusal)  { return s.setStatus(c, "close") }

func (s *Server) setStatus(c *call, action string) (answer, *refusal.Refusal) {
	account, o, no := s.accountBody(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "reason")
	spec := engine.StatusSpec{ID: o.requireID("id"), Account: account, Action: action, Reason: o.voidReason()}
	if o.no != nil {
		return answer{}, o.no
	}
	change, created, no := s.engine.SetStatus(spec)
	return booked(&change, created, no, statusView)
}

type statusJSON struct {
	ID       string `json:"id"`
	Account  string `json:"account"`
	Action   string `json:"action"`
	Reason   string `json:"reason"`
	State    string `json:"state"`
	Sequence uint64 `json:"sequence"`
	Time     string `json:"time"`
}

func statusView(c *engine.StatusChange) any {
	return statusJSON{c.ID, c.Account, c.Action, c.Reason, c.State, c.Sequence, timeText(c.Time)}
}
