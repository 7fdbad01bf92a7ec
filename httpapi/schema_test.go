package httpapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// schemas checks values against the schemas of openapi.yaml, as far as they use JSON
// Schema, and more strictly in one point: an object may only have properties that its
// schema names, so that the contract cannot fall behind the answers.
type schemas struct{ root map[string]any }

var loadSchemas = sync.OnceValue(func() schemas {
	var s schemas
	if err := yaml.Unmarshal(OpenAPI(), &s.root); err != nil {
		panic(err)
	}
	return s
})

// resolve follows a reference.
func (s schemas) resolve(schema map[string]any) map[string]any {
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	at := any(s.root)
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(map[string]any)[name]
	}
	return s.resolve(at.(map[string]any))
}

// faults lists what of a value the schema does not allow.
func (s schemas) faults(path string, schema map[string]any, v any) []string {
	schema = s.resolve(schema)
	faults := s.rules(path, schema, v)
	object, ok := v.(map[string]any)
	names, open := s.properties(schema)
	if ok && !open && len(names) > 0 {
		for name := range object {
			if !slices.Contains(names, name) {
				faults = append(faults, fmt.Sprintf("%s has %q, which the schema does not", path, name))
			}
		}
	}
	return faults
}

// properties returns the names that a schema knows, in whatever of its parts.
func (s schemas) properties(schema map[string]any) (names []string, open bool) {
	schema = s.resolve(schema)
	for name := range asMap(schema["properties"]) {
		names = append(names, name)
	}
	_, open = schema["additionalProperties"].(map[string]any)
	for _, key := range []string{"allOf", "oneOf"} {
		for _, part := range asList(schema[key]) {
			more, also := s.properties(part.(map[string]any))
			names, open = append(names, more...), open || also
		}
	}
	return names, open
}

// rules checks everything but unknown names.
func (s schemas) rules(path string, schema map[string]any, v any) (faults []string) {
	schema = s.resolve(schema)
	fail := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, path+": "+fmt.Sprintf(format, args...))
		}
	}
	if want, has := schema["type"]; has {
		kinds := asList(want)
		if kinds == nil {
			kinds = []any{want}
		}
		fail(slices.ContainsFunc(kinds, func(k any) bool { return hasType(k.(string), v) }), "is %v, want %v", v, want)
	}
	if want, has := schema["const"]; has {
		fail(v == want, "is %v, want %v", v, want)
	}
	if enum, has := schema["enum"]; has {
		fail(slices.Contains(asList(enum), v), "is %v, none of %v", v, enum)
	}
	if text, ok := v.(string); ok && schema["pattern"] != nil {
		fail(regexp.MustCompile(schema["pattern"].(string)).MatchString(text), "%q does not match", text)
	}
	for _, part := range asList(schema["allOf"]) {
		faults = append(faults, s.rules(path, part.(map[string]any), v)...)
	}
	if parts := asList(schema["oneOf"]); parts != nil {
		fail(slices.ContainsFunc(parts, func(p any) bool { return len(s.faults(path, p.(map[string]any), v)) == 0 }), "is none of the alternatives")
	}
	return append(faults, s.inside(path, schema, v)...)
}

// inside checks the members of objects and arrays.
func (s schemas) inside(path string, schema map[string]any, v any) (faults []string) {
	switch v := v.(type) {
	case []any:
		if most, ok := schema["maxItems"].(int); ok && len(v) > most {
			faults = append(faults, fmt.Sprintf("%s has %d items", path, len(v)))
		}
		if items := asMap(schema["items"]); items != nil {
			for i, item := range v {
				faults = append(faults, s.faults(fmt.Sprintf("%s[%d]", path, i), items, item)...)
			}
		}
	case map[string]any:
		for _, name := range asList(schema["required"]) {
			if _, has := v[name.(string)]; !has {
				faults = append(faults, fmt.Sprintf("%s lacks %v", path, name))
			}
		}
		known := asMap(schema["properties"])
		for name, member := range v {
			of := asMap(known[name])
			if known[name] == nil {
				of = asMap(schema["additionalProperties"])
			}
			if of != nil {
				faults = append(faults, s.faults(path+"."+name, of, member)...)
			}
		}
	}
	return faults
}

func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }
func asList(v any) []any         { l, _ := v.([]any); return l }

func hasType(kind string, v any) bool {
	switch v := v.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case json.Number:
		return kind == "number" || kind == "integer" && !strings.ContainsAny(v.String(), ".eE")
	case []any:
		return kind == "array"
	case map[string]any:
		return kind == "object"
	}
	return false
}

// bodyFaults checks the JSON text of an answer against the schema of its media type.
func (s schemas) bodyFaults(media any, body string) []string {
	schema := asMap(asMap(media)["schema"])
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return []string{err.Error()}
	}
	return s.faults("body", schema, v)
}

// TestSchemasAreChecked keeps the check itself from passing everything.
func TestSchemasAreChecked(t *testing.T) {
	f := func(schema, body string, ok bool) {
		t.Helper()
		media := map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/" + schema}}
		if faults := loadSchemas().bodyFaults(media, body); (len(faults) == 0) != ok {
			t.Errorf("%s %s: %v", schema, body, faults)
		}
	}
	f("IngestResult", `{"accepted":0,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42}`, true)
	f("IngestResult", `{"accepted":0,"duplicates":0,"unpriced":0,"rejected":[]}`, false)
	f("IngestResult", `{"accepted":"0","duplicates":0,"unpriced":0,"rejected":[],"sequence":42}`, false)
	f("IngestResult", `{"accepted":0.5,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42}`, false)
	f("IngestResult", `{"accepted":0,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42,"more":1}`, false)
	f("IngestResult", `{"accepted":0,"duplicates":0,"unpriced":0,"rejected":[{"index":0}],"sequence":42}`, false)
	f("IngestResult", `[]`, false)
	f("PriceBook", `{"version":"v","effective_from":"t","price_count":0,"sequence":1,"time":"t","prices":[]}`, true)
	f("PriceBook", `{"version":"v","effective_from":"t","price_count":0,"sequence":1,"time":"t"}`, false)
	f("PriceBook", `{"version":"v","effective_from":"t","price_count":0,"sequence":1,"prices":[]}`, false)
	f("Operator", `{"id":"operator","kind":"operator","items":[{"currency":"USD","posted":"1"}],"sequence":1}`, true)
	f("Operator", `{"id":"other","kind":"operator","items":[],"sequence":1}`, false)
	f("Operator", `{"id":"operator","kind":"operator","items":[{"currency":"USD","posted":"1.."}],"sequence":1}`, false)
	f("Problem", `{"type":"","title":"","status":400,"detail":"","code":"other","reason":""}`, false)
	f("NewAccount", `{"id":"a","currency":"USD","kind":"provider"}`, true)
	f("NewAccount", `{"id":"a","currency":"USD","kind":"customer","parent":"b","owner":"c"}`, true)
	f("NewAccount", `{"id":"a","currency":"USD","kind":"provider","root":"b"}`, false)
}
