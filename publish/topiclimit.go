package publish

import "context"

func (r *Relay) batchLimit() int                                 { return r.o.MaxBatchBytes }
func (r *Relay) shrink(ctx context.Context, n, records int) bool { return false }
