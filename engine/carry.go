package engine

// identities calls fn with the identities that the current command booked and the hashes of
// their contents. Scratch is memory for them.
func (c *cursor) identities(seed uint64, scratch *[]byte, fn func(id []byte, content uint64) error) error {
	if c.isEvent() {
		e := &c.event
		*scratch = append(append(append((*scratch)[:0], e.source...), 0), e.id...)
		if err := fn(*scratch, contentHash(e, c.t, seed)); err != nil || len(e.hold.id) == 0 {
			return err
		}
		return c.ended(scratch, holdID(e.hold.id, seed), fn)
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindHold:
		p := r.holdPlan(c.t)
		if r.bad {
			return errCodec
		}
		*scratch = append(append((*scratch)[:0], 0), p.id...)
		return fn(*scratch, p.content(c.t, seed))
	case kindExtend:
		x := r.extension(c.t)
		if r.bad {
			return errCodec
		}
		*scratch = append(append((*scratch)[:0], sourceExtend+"\x00"...), x.name...)
		return fn(*scratch, x.content(seed))
	case kindResult:
		p := r.lineResult()
		if r.bad {
			return errCodec
		}
		*scratch = resultIdentity((*scratch)[:0], p.name)
		return fn(*scratch, p.content(seed))
	case kindCapture, kindRelease:
		held := r.heldRef()
		return c.ended(scratch, holdID(held.id, seed), fn)
	case kindExpire:
		for _, h := range r.expiry().holds {
			if err := c.ended(scratch, h.id, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cursor) ended(scratch *[]byte, hold [2]uint64, fn func([]byte, uint64) error) error {
	*scratch = endKey((*scratch)[:0], hold)
	return fn(*scratch, 0)
}

// carries reports whether the current command booked an identity, and its content.
func (c *cursor) carries(identity []byte, seed uint64) (content uint64, ok bool) {
	if c.isEvent() && len(c.event.hold.id) == 0 { // by far the most, and quickly told
		e := &c.event
		n := len(e.source)
		if len(identity) != n+1+len(e.id) || string(identity[:n]) != string(e.source) || identity[n] != 0 || string(identity[n+1:]) != string(e.id) {
			return 0, false
		}
		return contentHash(e, c.t, seed), true
	}
	var scratch []byte
	_ = c.identities(seed, &scratch, func(id []byte, is uint64) error {
		if string(id) == string(identity) {
			content, ok = is, true
		}
		return nil
	})
	return content, ok
}
