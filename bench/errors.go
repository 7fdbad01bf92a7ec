package bench

import "errors"

var (
	// ErrOptions: the options contradict themselves or exceed a bound.
	ErrOptions = errors.New("bench: invalid options")
	// ErrRefused: the server answered an event request with something that a
	// retry does not mend.
	ErrRefused = errors.New("bench: request refused")
	// ErrSum: a balance is not what was sent times its price.
	ErrSum = errors.New("bench: balances do not add up")
	// ErrStuck: a connection had no answer long after the end of the run.
	ErrStuck = errors.New("bench: no answer")
	// ErrProtocol: what came back is not an HTTP answer we understand.
	ErrProtocol = errors.New("bench: malformed answer")
)
