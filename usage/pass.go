package usage

// passes is what a reader keeps of the passes of a call besides their numbers: a call
// may be made of several, of which each is an element of "iterations".
type passes struct {
	model []byte // of the one being read
	first []byte // of those before it
}

// passFields is how many fields the block of a pass has, and passTotals how many of
// them are totals, which follow each other first.
const (
	passFields = 6
	passTotals = 4
)

// passNames are the names of the sums of the passes, for messages and explanations, in
// the order of the blocks.
var (
	replyNames = [passTotals]string{"iterations[message].input_tokens", "iterations[message].output_tokens",
		"iterations[message].cache_read_input_tokens", "iterations[message].cache_creation_input_tokens"}
	compactionNames = [passFields]string{"iterations[compaction].input_tokens", "iterations[compaction].output_tokens",
		"iterations[compaction].cache_read_input_tokens", "iterations[compaction].cache_creation_input_tokens",
		"iterations[compaction].ephemeral_5m_input_tokens", "iterations[compaction].ephemeral_1h_input_tokens"}
)

// totals are the fields of the whole call that the totals of its replies must come to.
var totals = [passTotals]field{fieldInput, fieldOutput, fieldRead, fieldWrite}

// readPass reads one element of the list of passes and adds it to those of its type.
func (r *reader) readPass(m *member, depth int) bool {
	r.forgetPass()
	if !r.object(m.group, depth+1) || !r.dividePass() {
		return false
	}
	kind, tokens := string(r.label), uint64(0)
	for f := fieldPass; f < fieldPass+passFields; f++ {
		tokens += r.value[f]
	}
	switch {
	case tokens > 0 && !r.sameModel():
		return false
	case kind == "message":
		return r.addPass(fieldReply, replyNames[:])
	case kind == "compaction":
		return r.addPass(fieldCompaction, compactionNames[:])
	case tokens > 0:
		return r.refuse("usage_ambiguous", "iterations has tokens of a pass of type %q: send it as an event of its own, with its model, and not in this one", clipped(r.label))
	}
	return true
}

func (r *reader) forgetPass() {
	r.label, r.pass.model = nil, nil
	for f := fieldPass; f < fieldPass+passFields; f++ {
		r.value[f] = 0
		r.seen &^= 1 << f
	}
}

// sameModel refuses a pass of another model than those before it: they differ in price.
func (r *reader) sameModel() bool {
	p := &r.pass
	if p.model == nil {
		return true // of the call's
	}
	if p.first == nil {
		p.first = p.model
	}
	return string(p.first) == string(p.model) ||
		r.refuse("usage_ambiguous", "iterations has tokens of the models %s and %s: send each model's as an event of its own", clipped(p.first), clipped(p.model))
}

// dividePass keeps of the writes of a pass either their division by the time that they
// are kept, or their sum.
func (r *reader) dividePass() bool {
	if r.sum(fieldPassShort, fieldPassLong) == 0 {
		return true
	}
	return r.exactly(fieldPassWrite, fieldPassShort, fieldPassLong)
}

// addPass adds the pass that was read to the block at sum.
func (r *reader) addPass(sum field, names []string) bool {
	r.seen |= 1<<sum | 1<<(sum+1) // a pass has an input and an output
	if divided := r.sum(fieldPassShort, fieldPassLong); divided > 0 {
		r.value[fieldPassWrite] = divided
		r.seen |= 1 << fieldPassWrite
		if sum == fieldCompaction {
			r.value[fieldPassWrite] = 0
		}
	}
	for i, name := range names {
		from, to := fieldPass+field(i), sum+field(i)
		r.value[to] += r.value[from]
		r.name[to] = name
		r.seen |= r.seen >> from & 1 << to
		if r.value[to] > quantityMax {
			return r.refuse("invalid_usage", "%s sum to more than %d", name, quantityMax)
		}
	}
	return true
}

// passesAdd adds the passes that the totals leave out, if the others are what the totals
// count. Totals that no reply has are not compared.
func (r *reader) passesAdd() bool {
	if !r.has(fieldReply) && !r.has(fieldCompaction) {
		return true
	}
	r.seen |= 1<<fieldReply | 1<<fieldReplyOutput // none is 0
	for i, whole := range totals {
		reply := fieldReply + field(i)
		if r.name[reply] == "" {
			r.name[reply] = replyNames[i]
		}
		if r.has(reply) && r.value[whole] != r.value[reply] {
			return r.refuse("usage_contradiction", "%s is %d, but %s is %d", r.nameOf(whole), r.value[whole], r.name[reply], r.value[reply])
		}
	}
	r.join(fieldInput, fieldInput, fieldCompaction)
	r.join(fieldOutput, fieldOutput, fieldCompactionOutput)
	r.join(fieldRead, fieldRead, fieldCompactionRead)
	r.join(fieldWrite, fieldWrite, fieldCompactionWrite, fieldCompactionShort, fieldCompactionLong)
	r.join(fieldWriteLong, fieldWriteLong, fieldCompactionLong)
	for _, whole := range totals {
		if r.value[whole] > quantityMax {
			return r.refuse("invalid_usage", "%s and iterations sum to more than %d", r.nameOf(whole), quantityMax)
		}
	}
	return true
}
