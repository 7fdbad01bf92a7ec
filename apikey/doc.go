// Package apikey knows who may call the server: it makes API keys, reads the
// file of their hashes and tells which key a request carries.
//
// The types are few. A Key is made once, by New, and shows its secret once. A
// Set is a loaded file; it is immutable, so any number of goroutines may look into it. A File
// is a Set that follows its file: it asks before it answers, at most once a millisecond, so
// that what Revoke took out is refused Settled later at the latest. Add and Revoke replace the
// file as a whole. Scopes is what a key may do, KeyID what logs call it, a Limiter counts
// what it uses.
//
// A secret is 32 bytes from the system's random source, written as "farthing_"
// and base64url. At rest there is its plain SHA-256, without salt or
// stretching. Those exist to make guessing a weak secret dear and to keep one
// table from serving many victims; a secret of 256 random bits cannot be
// guessed at any speed and never occurs twice, so a slow hash would only slow
// down every request. The hash is compared with every entry, in constant time
// and without an early exit, so that the time of an answer tells nothing about
// how near a guess came, nor which entry matched.
//
// The package does not parse HTTP headers, does not decide what a scope opens, and has no
// goroutine.
package apikey
