package httpapi

import "farthing/engine"

// The engine is what the server takes it for.
var _ Engine = (*engine.Engine)(nil)
