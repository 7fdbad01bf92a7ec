package limits

import (
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// bodyMax of an empty handler: as the server's.
const bodyMax = 8 << 20

// ServeEmpty answers every request on l as one with a new event is answered, until l is closed. It reads the request and does
// nothing with it: no server of the same library can be faster.
func ServeEmpty(l net.Listener) error {
	body := []byte(`{"accepted":1,"duplicates":0,"unpriced":0,"rejected":[],"sequence":1}`)
	s := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("application/json")
			ctx.SetBody(body)
		},
		MaxRequestBodySize: bodyMax, NoDefaultDate: true, NoDefaultServerHeader: true, ReadTimeout: time.Minute,
	}
	if err := s.Serve(l); err != nil {
		return fmt.Errorf("serve an empty handler: %w", err)
	}
	return nil
}
