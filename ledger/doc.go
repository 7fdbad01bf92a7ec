// Package ledger keeps the money: accounts, their balances and the rules by which
// a movement debits one account and credits another. It is pure: it opens
// nothing, starts nothing and reads no clock.
//
// Its few types:
//
//   - Participant: the attributes of a customer or provider, fixed when created.
//   - Row: the money of one participant, fixed-size and pointer-free, in a
//     copy-on-write table so that a cut or a checkpoint can read it as it was.
//   - Totals: per currency, cumulative debits and credits by class of account, and
//     the operator's figures of the open window.
//   - Split: how an amount was taken from the payer's sources.
//
// A movement is checked whole before anything changes: the only thing that can
// refuse it is an overflow of the currency's totals, which bound every balance.
// After every group the caller asks Balanced: debits equal credits, always.
//
// It does not know events, prices, sequences or windows beyond a number: those are
// the engine's. The ledger belongs to one goroutine.
package ledger
