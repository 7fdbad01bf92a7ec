package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"farthing/apikey"
)

func TestExitCodes(t *testing.T) {
	list := writeFile(t, `{"m":{"input_cost_per_token":1e-6}}`)
	f := func(want int, mention string, args ...string) {
		t.Helper()
		ctx, stdout, stderr := testContext()
		if got := run(args, ctx); got != want {
			t.Errorf("%q: exit code %d, want %d; %s", args, got, want, stderr)
		}
		if text := stdout.String() + stderr.String(); !strings.Contains(text, mention) {
			t.Errorf("%q: no %q in:\n%s", args, mention, text)
		}
	}
	f(0, "FARTHING_SETTLE_EVERY", "--help")
	f(0, "prices import")
	f(0, "curl -X PUT", "prices", "import", "--help")
	f(0, ">> keys.yaml", "keys", "new", "--help")
	f(0, "farthing "+version, "version")
	f(0, `"input":"0.000001"`, "prices", "import", "--format=litellm", list)
	f(1, "no such file", "prices", "import", "--format=litellm", list+".absent")
	f(1, "not a LiteLLM price list", "prices", "import", "--format=litellm", writeFile(t, "[]"))
	f(1, "nothing in it can be imported", "prices", "import", "--format=litellm", writeFile(t, "{}"))
	f(2, "--help", "nonsense")
	f(2, "unknown flag --nonsense", "version", "--nonsense")
	f(2, "--format", "prices", "import", list)
	f(2, "litellm", "prices", "import", "--format=xml", list)
	f(2, "--include-free", "prices", "import", "--format=csv", "--include-free", list)
	f(1, "row 1: bare", "prices", "import", "--format=csv", list)
	f(2, "is no id", "prices", "import", "--format=litellm", "--price-version=a b", list)
	f(2, "--price-version", "prices", "simulate")
	f(2, "--price-version", "prices", "rerate", "--confirm")
	f(2, "<file>", "prices", "put", "v1")
	f(1, "no such file", "prices", "put", "v1", list+".absent")
	f(1, "connection refused", "prices", "simulate", "--version=v1", "--server=http://127.0.0.1:1")
	f(1, "connection refused", "prices", "rerate", "--version=v1", "--server=http://127.0.0.1:1", "--confirm")
	f(2, "log-level", "version", "--log-level=loud")
	f(2, "log-format", "version", "--log-format=xml")
	f(2, `unknown scope "root"`, "keys", "new", "--id=a", "--scopes=root")
	f(2, "invalid entry: id", "keys", "new", "--id=a b", "--scopes=read")
}

// TestHelpNamesEveryVariable: each flag of each command says which variable
// sets it, and the variable's name follows from the flag's.
func TestHelpNamesEveryVariable(t *testing.T) {
	flagLine := regexp.MustCompile(`(?m)^ *(?:-[a-z], +)?--([a-z-]+)`)
	for _, args := range [][]string{{"serve"}, {"verify"}, {"demo"}, {"bench"}, {"prices", "import"}, {"prices", "put"}, {"prices", "simulate"}, {"prices", "rerate"}, {"keys", "new"}, {"version"}} {
		ctx, stdout, _ := testContext()
		if code := run(append(args, "--help"), ctx); code != exitOK {
			t.Fatalf("%q: exit code %d", args, code)
		}
		_, flags, found := strings.Cut(stdout.String(), "\nFlags:\n")
		if !found {
			t.Fatalf("%q: no flags in the help", args)
		}
		matches := flagLine.FindAllStringSubmatch(flags, -1)
		if len(matches) < 4 { // --help and those of every command
			t.Fatalf("%q: %d flags in:\n%s", args, len(matches), flags)
		}
		for _, match := range matches {
			if name := match[1]; name != "help" && !strings.Contains(flags, "$FARTHING_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))) {
				t.Errorf("%q: no variable for --%s in:\n%s", args, name, flags)
			}
		}
	}
}

func TestKeysNewMakesAUsableEntry(t *testing.T) {
	ctx, stdout, stderr := testContext()
	for i := range 2 {
		if code := run([]string{"keys", "new", fmt.Sprint("--id=gateway-", i), "--scopes=ingest,read"}, ctx); code != exitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
	}
	set, err := apikey.Load(writeFile(t, stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	secrets := regexp.MustCompile(`farthing_[A-Za-z0-9_-]{43}`).FindAllString(stderr.String(), -1)
	if len(secrets) != 2 || secrets[0] == secrets[1] {
		t.Fatalf("secrets %q, want two different ones", secrets)
	}
	for i, secret := range secrets {
		got, ok := set.Find([]byte(secret))
		if got.ID != apikey.KeyID(fmt.Sprint("gateway-", i)) || got.Scopes != apikey.Ingest|apikey.Read || !ok {
			t.Errorf("key %d: %+v, %v", i, got, ok)
		}
		if strings.Contains(stdout.String(), secret) {
			t.Error("the secret stands in the entry for the file")
		}
	}
}
