package limits

import (
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// bodyMax of an empty handler: as the server's.
const bodyMax = 8 << 20

// ServeEmpty answers every request on l with status and body, until l is closed. It reads the request and does nothing with it: no
// server of the same library can be faster.
func ServeEmpty(l net.Listener, status int, body []byte) error {
	s := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(status)
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
