// Package ledger keeps the money: accounts, their balances and the rules by which
// a movement debits one account and credits another. It is pure: it opens
// nothing, starts nothing and reads no clock.
//
// Its few types:
//
//   - Participant: the attributes of a customer or provider, fixed when created. A
//     customer may stand under another one; only the root of such a tree has money.
//   - Row: the money of one participant, fixed-size and pointer-free, in a
//     copy-on-write table so that a cut or a checkpoint can read it as it was.
//   - Grant: credit given under conditions (priority, expiry, scope), in a table of
//     the same kind. The grants of an account that have something left are a chain
//     in burn order, of which its row knows the first.
//   - Totals: per currency, cumulative debits and credits by class of account, and
//     the operator's figures of the open window.
//   - Usage and Split: a rating to be posted, and how it was taken: parts of grants,
//     paid credit, the receivable, and what the operator lost. The same split says
//     later to whom a correction gives back.
//   - Reserved: what a hold keeps for itself, parts of grants and of the pool. It is
//     no movement. The caller stores it, in burn order (Compare), and gives it back
//     whole: to Release, or to Capture.
//   - Excess: what a capture may take beyond its hold, and who bears the rest.
//   - Returned: what the open window gave back of lines, by participant and the
//     operator with the sign turned; beside the rows, because few have any.
//
// The caller decides, the ledger posts. What is asked for must be there: amounts of
// grants are at most what is free of them, those of the pool at most Refundable, a
// hold is one that Reserve planned on the same state. A grant that would give more
// than is free of it, or a release of more than was reserved, is a bug and panics.
// A grant that has expired gives nothing new, but only Expire ends it, which the
// caller asks for when it books that.
//
// A movement is checked whole before anything changes: the only thing that can
// refuse it is an overflow of the currency's totals, which bound every balance
// (Fits). After every group the caller asks Balanced: debits equal credits, always.
// So are the gross figures of a window, of all participants and the operator
// together: a move inside one participant, which is what the operator does when it
// pays its own share of a rating, is nobody's gross.
//
// It does not know events, prices, sequences or windows beyond a number, nor what a
// scope's number means: those are the engine's. The ledger belongs to one goroutine.
package ledger
