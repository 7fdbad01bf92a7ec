package httpapi

import (
	_ "embed"

	"farthing/refusal"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI returns the outside contract as the server publishes it. It must not
// be changed.
func OpenAPI() []byte { return openAPI }

func (s *Server) getHealth(*call) (answer, *refusal.Refusal) {
	return answer{200, map[string]string{"status": "alive"}}, nil
}

func (s *Server) getReady(*call) (answer, *refusal.Refusal) {
	if no := s.engine.Unready(); no != nil {
		return answer{}, no
	}
	return answer{200, map[string]string{"status": "ready"}}, nil
}

func (s *Server) getOpenAPI(c *call) (answer, *refusal.Refusal) {
	c.ctx.Response.Header.SetContentType("application/yaml")
	c.ctx.Response.SetBodyRaw(openAPI) // shared by all answers, so it costs none of them
	return answer{}, nil
}
