package bench

import "errors"

var (
	// ErrOptions means that the options contradict themselves or exceed a bound.
	ErrOptions = errors.New("bench: invalid options")
	// ErrRefused means that the server answered an event request with something that a
	// retry does not mend.
	ErrRefused = errors.New("bench: request refused")
	// ErrSum means that a balance is not what was sent times its price.
	ErrSum = errors.New("bench: balances do not add up")
	// ErrStuck means that a connection had no answer long after the end of the run.
	ErrStuck = errors.New("bench: no answer")
	// ErrProtocol means that what came back is not an HTTP answer we understand.
	ErrProtocol = errors.New("bench: malformed answer")
)
