package httpapi

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// contract is openapi.yaml as far as the tests look at it.
type contract struct {
	Paths      map[string]map[string]yaml.Node `yaml:"paths"`
	Components struct {
		Responses map[string]contractResponse `yaml:"responses"`
		Schemas   map[string]yaml.Node        `yaml:"schemas"`
	} `yaml:"components"`
}

type contractOperation struct {
	Security   *[]any                      `yaml:"security"`
	Parameters []contractParameter         `yaml:"parameters"`
	Body       *contractResponse           `yaml:"requestBody"`
	Responses  map[string]contractResponse `yaml:"responses"`
}

type contractParameter struct {
	Name string `yaml:"name"`
	In   string `yaml:"in"`
}

type contractResponse struct {
	Ref     string         `yaml:"$ref"`
	Content map[string]any `yaml:"content"`
}

var loadContract = sync.OnceValue(func() *contract {
	var c contract
	if err := yaml.Unmarshal(OpenAPI(), &c); err != nil {
		panic(err)
	}
	return &c
})

// operation returns a method of a path; nil if the contract has none.
func (c *contract) operation(method, pattern string) *contractOperation {
	n, ok := c.Paths[pattern][strings.ToLower(method)]
	if !ok {
		return nil
	}
	var op contractOperation
	if err := n.Decode(&op); err != nil {
		panic(err)
	}
	return &op
}

// response returns the media types of a status; false if it is not declared.
func (c *contract) response(op *contractOperation, status int) (map[string]any, bool) {
	r, ok := op.Responses[strconv.Itoa(status)]
	if name, isRef := strings.CutPrefix(r.Ref, "#/components/responses/"); isRef {
		r, ok = c.Components.Responses[name]
	}
	return r.Content, ok
}

// checkContract fails the test when openapi.yaml does not know the answer.
func (r *rig) checkContract(method, raw string, got reply) {
	r.t.Helper()
	var parsed target
	if !parsed.parse([]byte(raw)) {
		return
	}
	rt, _ := r.server.routeOf([]byte(method), &parsed)
	if rt == nil {
		return
	}
	c := loadContract()
	op := c.operation(rt.method, rt.pattern)
	if op == nil {
		r.t.Fatalf("%s %s is not in openapi.yaml", rt.method, rt.pattern)
	}
	content, ok := c.response(op, got.status)
	if !ok {
		r.t.Errorf("openapi.yaml has no %d for %s %s: %s", got.status, rt.method, rt.pattern, got.body)
		return
	}
	kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	media, ok := content[kind]
	if !ok {
		r.t.Errorf("%s %s answers %d with %q, which openapi.yaml does not have", rt.method, rt.pattern, got.status, kind)
		return
	}
	if !strings.HasSuffix(kind, "json") || method == "HEAD" {
		return
	}
	for _, fault := range loadSchemas().bodyFaults(media, got.body) {
		r.t.Errorf("%s %s answers %d: %s", rt.method, rt.pattern, got.status, fault)
	}
}

func TestRoutesAreThoseOfTheContract(t *testing.T) {
	c := loadContract()
	var inCode, inText []string
	for _, r := range routeTable() {
		inCode = append(inCode, r.method+" "+r.pattern)
	}
	for pattern, item := range c.Paths {
		for key := range item {
			if slices.Contains([]string{"get", "put", "post", "delete", "patch", "head", "options"}, key) {
				inText = append(inText, strings.ToUpper(key)+" "+pattern)
			}
		}
	}
	sort.Strings(inCode)
	sort.Strings(inText)
	if !slices.Equal(inCode, inText) {
		t.Errorf("routes:\n%s\nopenapi.yaml:\n%s", strings.Join(inCode, "\n"), strings.Join(inText, "\n"))
	}
}

// TestContractOfEveryRoute checks what follows from a route's table entry: which
// are open, which read a body, and the refusals all of their kind share.
func TestContractOfEveryRoute(t *testing.T) {
	c := loadContract()
	for _, r := range routeTable() {
		op := c.operation(r.method, r.pattern)
		name := r.method + " " + r.pattern
		if open := op.Security != nil && len(*op.Security) == 0; open != (r.scope == 0) {
			t.Errorf("%s: open is %v in openapi.yaml", name, open)
		}
		if (op.Body != nil) != (r.bodyMax > 0) {
			t.Errorf("%s: its body", name)
		}
		statuses := []int{403} // of another host, without keys
		if r.scope != 0 {
			statuses = append(statuses, 401)
		}
		if strings.HasPrefix(r.pattern, "/v1/") {
			statuses = append(statuses, 400, 422, 429, 500, 503)
		}
		if r.bodyMax > 0 {
			statuses = append(statuses, 408, 409, 413, 415)
		}
		if strings.Contains(r.pattern, "{") {
			statuses = append(statuses, 404)
		}
		for _, status := range statuses {
			if _, ok := c.response(op, status); !ok {
				t.Errorf("%s: openapi.yaml lacks %d", name, status)
			}
		}
		for status := range op.Responses {
			n, err := strconv.Atoi(status)
			if err != nil || (n >= 400 && !knownStatus(n)) {
				t.Errorf("%s: openapi.yaml has %s, which no code gives", name, status)
			}
		}
	}
}

func knownStatus(n int) bool {
	for _, c := range codes {
		if c.status == n {
			return true
		}
	}
	return false
}

func TestCodesAreThoseOfTheContract(t *testing.T) {
	var problem struct {
		Properties struct {
			Code struct {
				Enum []string `yaml:"enum"`
			} `yaml:"code"`
		} `yaml:"properties"`
	}
	n := loadContract().Components.Schemas["Problem"]
	if err := n.Decode(&problem); err != nil {
		t.Fatal(err)
	}
	var inCode []string
	for _, c := range codes {
		inCode = append(inCode, string(c.code))
	}
	inText := problem.Properties.Code.Enum
	sort.Strings(inCode)
	sort.Strings(inText)
	if !slices.Equal(inCode, inText) {
		t.Errorf("codes %v, openapi.yaml %v", inCode, inText)
	}
}

func TestContractReferencesResolve(t *testing.T) {
	var all yaml.Node
	if err := yaml.Unmarshal(OpenAPI(), &all); err != nil {
		t.Fatal(err)
	}
	c := loadContract()
	seen := 0
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
			if n.Content[i].Value != "$ref" {
				continue
			}
			seen++
			ref := n.Content[i+1].Value
			if name, ok := strings.CutPrefix(ref, "#/components/schemas/"); ok {
				_, ok = c.Components.Schemas[name]
				if !ok {
					t.Errorf("%s does not exist", ref)
				}
			} else if name, ok = strings.CutPrefix(ref, "#/components/responses/"); !ok || c.Components.Responses[name].Content == nil {
				t.Errorf("%s does not exist", ref)
			}
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(&all)
	if seen < 100 {
		t.Errorf("only %d references were found", seen)
	}
}
