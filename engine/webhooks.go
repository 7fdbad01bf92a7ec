package engine

import (
	"fmt"

	"farthing/journal"
)

// Webhooks keeps what package webhook knows of its endpoints: two rows each, beside the
// journal, because whom somebody wants to be told is no part of the ledger's state. What is in
// them is the package's own; a secret is among it.
type Webhooks struct{ e *Engine }

// Webhooks returns the store of webhooks.
func (e *Engine) Webhooks() *Webhooks { return &Webhooks{e} }

// The rows of an endpoint, before its id.
const (
	registryRow = 'e' // what was asked for
	progressRow = 'd' // how far it is
)

func webhookKey(row byte, id string) []byte { return append([]byte{row}, id...) }

// Load calls fn with the rows of every endpoint, until fn fails.
func (w *Webhooks) Load(fn func(id string, registry, progress []byte) error) error {
	done, refused := w.e.read()
	if refused != nil {
		return refused
	}
	defer done()
	return w.e.store.Scan(journal.SpaceWebhooks, []byte{registryRow}, []byte{registryRow + 1}, func(key, registry []byte) (bool, error) {
		id := string(key[1:])
		progress, ok, err := w.e.store.Get(journal.SpaceWebhooks, webhookKey(progressRow, id))
		if err != nil || !ok {
			return false, missing(fmt.Sprintf("position of webhook %s", id), err)
		}
		return true, fn(id, registry, progress)
	})
}

// Save writes both rows of an endpoint at once and returns when they are durable.
func (w *Webhooks) Save(id string, registry, progress []byte) error {
	return w.write(true,
		journal.Row{Space: journal.SpaceWebhooks, Key: webhookKey(registryRow, id), Value: registry},
		journal.Row{Space: journal.SpaceWebhooks, Key: webhookKey(progressRow, id), Value: progress})
}

// Advance writes how far an endpoint is. A crash may lose it, but nothing that was written
// before it: what it says was delivered is delivered again then.
func (w *Webhooks) Advance(id string, progress []byte) error {
	return w.write(false, journal.Row{Space: journal.SpaceWebhooks, Key: webhookKey(progressRow, id), Value: progress})
}

// Delete removes both rows and returns when that is durable.
func (w *Webhooks) Delete(id string) error {
	return w.write(true,
		journal.Row{Space: journal.SpaceWebhooks, Key: webhookKey(registryRow, id), Delete: true},
		journal.Row{Space: journal.SpaceWebhooks, Key: webhookKey(progressRow, id), Delete: true})
}

func (w *Webhooks) write(sync bool, rows ...journal.Row) error {
	done, refused := w.e.read()
	if refused != nil {
		return refused
	}
	defer done()
	return w.e.store.Write(rows, sync)
}
