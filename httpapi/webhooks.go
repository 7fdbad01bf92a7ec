package httpapi

import (
	"encoding/json"
	"sort"

	"farthing/refusal"
	"farthing/webhook"
)

// Webhooks is what the server needs from the dispatcher of webhooks. Its methods may be
// called by many goroutines at once. What they change is durable when they return.
type Webhooks interface {
	Create(webhook.Spec) (e webhook.Endpoint, created bool, no *refusal.Refusal)
	// Endpoints returns all endpoints, sorted by id.
	Endpoints() ([]webhook.Endpoint, *refusal.Refusal)
	Endpoint(id string) (webhook.Endpoint, *refusal.Refusal)
	// Enable makes an endpoint active; with from it goes on after that number.
	Enable(id string, from *uint64) (webhook.Endpoint, *refusal.Refusal)
	Delete(id string) (webhook.Endpoint, *refusal.Refusal)
}

// webhooks returns the dispatcher, or refuses on a server without one.
func (s *Server) webhooks() (Webhooks, *refusal.Refusal) {
	if s.options.Webhooks == nil {
		return nil, refusal.New(refusal.NotFound, "no_webhooks", "this server delivers no webhooks")
	}
	return s.options.Webhooks, nil
}

func (s *Server) postWebhook(c *call) (answer, *refusal.Refusal) {
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	spec := webhookSpec(o)
	if o.no != nil {
		return answer{}, o.no
	}
	w, no := s.webhooks()
	if no != nil {
		return answer{}, no
	}
	e, created, no := w.Create(spec)
	if no != nil {
		return answer{}, no
	}
	v := webhookView(&e)
	if created { // the one time that the secret is shown
		v.Secret = e.Secret.Reveal()
	}
	return answer{createdStatus(created), v}, nil
}

// webhookSpec reads the body of POST /v1/webhooks. What is no URL, type or number for an
// endpoint is the dispatcher's to say.
func webhookSpec(o *object) webhook.Spec {
	o.only("id", "url", "types", "secret", "from")
	spec := webhook.Spec{ID: o.requireID("id"), URL: o.text("url", len(o.body)), Types: o.texts("types"), From: o.uint("from")}
	if !o.has("url") {
		o.refuse("missing_field", "url is missing")
	}
	if text := o.text("secret", len(o.body)); o.has("secret") && o.no == nil {
		spec.Secret, o.no = webhook.ParseSecret(text)
	}
	return spec
}

// texts returns an array of strings; nil when it is absent.
func (o *object) texts(name string) (out []string) {
	if o.has(name) && json.Unmarshal(o.fields[name], &out) != nil {
		o.refuse("wrong_type", "%s must be an array of strings", name)
	}
	return out
}

func (s *Server) getWebhooks(c *call) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor")
	after, limit := q.page()
	if q.no != nil {
		return answer{}, q.no
	}
	w, no := s.webhooks()
	if no != nil {
		return answer{}, no
	}
	all, no := w.Endpoints()
	if no != nil {
		return answer{}, no
	}
	all = all[sort.Search(len(all), func(i int) bool { return all[i].ID > after }):]
	out := list{Items: make([]any, 0, min(limit, len(all)))}
	for i := range all[:min(limit, len(all))] {
		out.Items = append(out.Items, webhookView(&all[i]))
	}
	if len(all) > limit {
		out.Next = all[limit-1].ID
	}
	return answer{200, out}, nil
}

func (s *Server) getWebhook(c *call) (answer, *refusal.Refusal) {
	return s.oneWebhook(c, Webhooks.Endpoint)
}

func (s *Server) deleteWebhook(c *call) (answer, *refusal.Refusal) {
	return s.oneWebhook(c, Webhooks.Delete)
}

// oneWebhook answers a route that has an id and nothing else.
func (s *Server) oneWebhook(c *call, ask func(Webhooks, string) (webhook.Endpoint, *refusal.Refusal)) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	w, no := s.webhooks()
	if no != nil {
		return answer{}, no
	}
	e, no := ask(w, id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, webhookView(&e)}, nil
}

func (s *Server) postWebhookEnable(c *call) (answer, *refusal.Refusal) {
	id, no := c.param(0)
	if no != nil {
		return answer{}, no
	}
	// A body is asked for although nothing must be in it: with its content type no web page
	// can send this request.
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	o.only("from")
	from := o.uint("from")
	if o.no != nil {
		return answer{}, o.no
	}
	w, no := s.webhooks()
	if no != nil {
		return answer{}, no
	}
	e, no := w.Enable(id, from)
	if no != nil {
		return answer{}, no
	}
	return answer{200, webhookView(&e)}, nil
}

type webhookJSON struct {
	ID          string   `json:"id"`
	URL         string   `json:"url"`
	Secret      string   `json:"secret,omitempty"`
	Types       []string `json:"types"`
	From        uint64   `json:"from"`
	State       string   `json:"state"`
	Created     string   `json:"created"`
	Delivered   uint64   `json:"delivered"`
	Failures    int      `json:"failures"`
	LastError   *string  `json:"last_error"`
	LastErrorAt *string  `json:"last_error_at"`
	NextAttempt *string  `json:"next_attempt"`
}

func webhookView(e *webhook.Endpoint) webhookJSON {
	v := webhookJSON{
		ID: e.ID, URL: e.URL, Types: append([]string{}, e.Types...), From: e.From, State: "active", Created: timeText(e.Created),
		Delivered: e.Delivered, Failures: e.Failures, LastErrorAt: timeOrNull(e.LastErrorAt), NextAttempt: timeOrNull(e.NextAttempt),
	}
	if e.Disabled {
		v.State = "disabled"
	}
	if e.LastError != "" {
		v.LastError = &e.LastError
	}
	return v
}
