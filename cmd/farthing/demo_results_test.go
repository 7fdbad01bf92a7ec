package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// tampered changes the answers of requests whose path has a part.
func tampered(method, part, old, replacement string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method || !strings.Contains(r.URL.Path, part) {
				next.ServeHTTP(w, r)
				return
			}
			said := httptest.NewRecorder()
			next.ServeHTTP(said, r)
			w.WriteHeader(said.Code)
			_, _ = w.Write(bytes.Replace(said.Body.Bytes(), []byte(old), []byte(replacement), 1))
		})
	}
}

// TestDemoFindsAWrongStatement has a usage amount that is ten times what it is.
func TestDemoFindsAWrongStatement(t *testing.T) {
	out, _, err := runDemo(t, false, nil, tampered("GET", "/statements/", `"amount":"-0.`, `"amount":"-10.`))
	if !errors.Is(err, errDemo) || strings.Count(out, "FAIL") != 1 || !strings.Contains(out, "FAIL the statement's items") {
		t.Errorf("a wrong statement was not noticed: %v\n%s", err, out)
	}
}

// TestDemoFindsAResultThatDoesNotCount has the failed amount say something else than what came
// back in the next line.
func TestDemoFindsAResultThatDoesNotCount(t *testing.T) {
	out, _, err := runDemo(t, false, nil, tampered("POST", "/result", `"direction":"collect","amount":"`, `"direction":"collect","amount":"1`))
	if !errors.Is(err, errDemo) || strings.Count(out, "FAIL") != 1 || !strings.Contains(out, "FAIL a paid line stays paid") {
		t.Errorf("a result that does not count was not noticed: %v\n%s", err, out)
	}
}

// TestDemoShowsResultsAndStatement wants both tables.
func TestDemoShowsResultsAndStatement(t *testing.T) {
	out, _, err := runDemo(t, false, nil, straight)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"What the bank said of two lines", "| paid   | paid ", "| failed | failed ", "Statement of acme-", "| returned ", "| opening ", "| closing "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

// TestDemoFindsAWrongProof has one hash too many in the path.
func TestDemoFindsAWrongProof(t *testing.T) {
	out, _, err := runDemo(t, false, nil, tampered("GET", "/proof", `"path":["`, `"path":["00000000000000000000000000000000000000000000000000000000000000ff","`))
	if !errors.Is(err, errDemo) || strings.Count(out, "FAIL") != 1 || !strings.Contains(out, "FAIL the explained event is in the signed tree") {
		t.Errorf("a wrong proof was not noticed: %v\n%s", err, out)
	}
}
