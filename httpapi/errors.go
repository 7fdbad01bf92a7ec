package httpapi

import "errors"

// Starting and serving.
var (
	// ErrNotLoopback says that the server has no API keys and was asked to listen
	// on an address that other machines can reach.
	ErrNotLoopback = errors.New("httpapi: without API keys the server listens on loopback addresses only (127.0.0.1, ::1, localhost)")
)

// errNoSocket says that a connection has no socket below it (tests).
var errNoSocket = errors.New("no socket")

// Reading a body. They do not leave the package.
var (
	errBodyTimeout  = errors.New("the body did not arrive in time")
	errBodyTooLarge = errors.New("the body is over its limit")
	errNoRoom       = errors.New("there is no room for more of the body")
	errBodyEncoding = errors.New("the body does not decompress")
	errBodyBroken   = errors.New("the body broke off")
)
