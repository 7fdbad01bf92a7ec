package bench

// What a hold may be asked for.
const (
	HoldByEstimate = "estimate" // the usage to expect, which the server rates
	HoldByAmount   = "amount"   // what that usage comes to
)

// holds is a request that places a hold for each of the draws.
func (r *renderer) holds(draws []draw) *request {
	var body draft
	body.list(draws, r.hold)
	counter := `"held":`
	if len(draws) == 1 {
		counter = ""
	}
	return r.post(draft{bytes: []byte("/v1/holds")}, body, jsonType, len(draws), counter)
}

// hold writes hold number index of a request: what may be used, as far as it is
// known before.
func (r *renderer) hold(t *draft, index int, d draw) {
	t.add(`{"id":"`)
	t.id(r.prefix, index)
	t.add(`","account":"`)
	t.payer(r.names.payer(d.payer))
	expected := d.estimate()
	if r.holdBy == HoldByAmount {
		t.add(`","amount":"%s"}`, billionths(expected.cost(r.models)))
		return
	}
	t.add(`","estimate":{"type":"llm.tokens","data":{"model":"%s","usage":{"input":%d,"output":%d}}}}`,
		r.models[d.model].name, expected.input, expected.output)
}

// captures is a request that captures the holds of the same block with what was
// really used. An event has its hold's id: the two are of different kinds.
func (r *renderer) captures(draws []draw) *request {
	var path, body draft
	if len(draws) == 1 {
		path.add("/v1/holds/")
		path.id(r.prefix, 0)
		path.add("/capture")
		body.add(`{"event":`)
		r.event(&body, 0, draws[0])
		body.add(`}`)
		return r.post(path, body, jsonType, 1, "")
	}
	path.add("/v1/captures")
	body.list(draws, func(t *draft, index int, d draw) {
		t.add(`{"hold":"`)
		t.id(r.prefix, index)
		t.add(`","event":`)
		r.event(t, index, d)
		t.add(`}`)
	})
	return r.post(path, body, jsonType, len(draws), `"captured":`)
}
