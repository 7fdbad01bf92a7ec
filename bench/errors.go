package bench

import "errors"

var (
	// ErrOptions means that the options contradict themselves or exceed a bound.
	ErrOptions = errors.New("bench: invalid options")
	// ErrRefused means that the server answered a worker's request with something that a
	// retry does not mend.
	ErrRefused = errors.New("bench: request refused")
	// ErrSum means that a balance is not what was sent times its price, or that something
	// is held, or that a limit has counted something else.
	ErrSum = errors.New("bench: balances do not add up")
	// ErrStuck means that a request was not done long after the end of the run.
	ErrStuck = errors.New("bench: no end")
	// ErrProtocol means that what came back is not an HTTP answer we understand.
	ErrProtocol = errors.New("bench: malformed answer")
)
