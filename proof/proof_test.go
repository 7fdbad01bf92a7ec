package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"farthing/batch"
	"farthing/meter"
	"farthing/money"
)

var (
	usd, _  = money.Lookup("USD")
	private = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	public  = private.Public().(ed25519.PublicKey)
)

// files are what a participant has: a proof, and the answers of a server.
type files struct{ document, manifest, chain string }

// world makes three batches of so many events and the proof of one event of the second.
func world(t testing.TB, events, index int) files {
	t.Helper()
	var previous [32]byte
	var f files
	var chain []string
	for w := range 3 {
		var tree batch.Tree
		var leaves [][]byte
		for i := range events {
			leaves = append(leaves, leafOf(w, i, events))
			tree.Append(leaves[i])
		}
		first := uint64(w*(events+10) + 1)
		cut := batch.Cut{Ledger: "l1", Window: uint64(w + 1), Currency: usd, First: first, Last: first + uint64(events) + 8, Time: 5, Events: uint64(events),
			MerkleRoot: tree.Root(), Previous: previous, FirstStreamSeq: uint64(3*w + 1)}
		m, err := batch.NewManifest(cut, 2, batch.Sums{Events: uint64(events)}, [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		previous = m.Hash()
		chain = append(chain, shown(&m))
		if w == 1 {
			f.manifest = chain[w]
			f.document = documentOf(t, &m, leaves, index)
		}
	}
	f.chain = strings.Join(chain, "\n")
	return f
}

func shapeBytes() []byte {
	s := meter.Shape{Type: "llm.tokens", Components: []string{"input", "output"}, Dimensions: []meter.Dimension{{Key: "model", Value: "m1"}}}
	return s.Append(nil)
}

func leafOf(w, i, events int) []byte {
	in, _ := money.WholeQuantity(uint64(i))
	out, _ := money.WholeQuantity(7)
	amount, err := money.Parse(fmt.Sprintf("0.00%d", i+1))
	if err != nil {
		panic(err)
	}
	l := batch.Leaf{Source: "gw", ID: fmt.Sprintf("e%d", i), Subject: "acme", ShapeHash: sha256.Sum256(shapeBytes()), Quantities: []money.Quantity{in, out},
		Time: 1e18, Currency: usd, Amount: amount, Version: "v1", Sequence: uint64(w*(events+10) + 2 + i)}
	return l.Append(nil)
}

// shown is a manifest as a server shows it.
func shown(m *batch.Manifest) string {
	canonical := m.AppendJSON(nil)
	return fmt.Sprintf(`%s,"published":null,"key_id":%q,"signature":%q}`, strings.TrimSuffix(string(canonical), "}"), batch.KeyID(public),
		base64.StdEncoding.EncodeToString(ed25519.Sign(private, canonical)))
}

func documentOf(t testing.TB, m *batch.Manifest, leaves [][]byte, index int) string {
	t.Helper()
	d, err := New(&Parts{BatchID: hex.EncodeToString(m.BatchID[:]), Window: m.Window, Currency: m.Currency, Leaf: leaves[index], Shape: shapeBytes(),
		Index: uint64(index), Size: uint64(len(leaves)), Path: plainPath(leaves, index), Root: m.MerkleRoot})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// plainPath is PATH of RFC 6962, section 2.1.1, as it is written there.
func plainPath(leaves [][]byte, m int) [][32]byte {
	if len(leaves) <= 1 {
		return nil
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	if m < k {
		return append(plainPath(leaves[:k], m), rootOf(leaves[k:]))
	}
	return append(plainPath(leaves[k:], m-k), rootOf(leaves[:k]))
}

func rootOf(leaves [][]byte) [32]byte {
	var t batch.Tree
	for _, l := range leaves {
		t.Append(l)
	}
	return t.Root()
}

// check reads the files as a command does; an error of reading is one of checking.
func (f files) check(keys ...ed25519.PublicKey) error {
	in, err := f.input(keys...)
	if err != nil {
		return err
	}
	r := Check(in)
	return r.Err()
}

func (f files) input(keys ...ed25519.PublicKey) (in Input, err error) {
	d, err := ParseDocument([]byte(f.document))
	if err != nil {
		return in, err
	}
	m, err := ParseManifests([]byte(f.manifest))
	if err != nil {
		return in, err
	}
	in = Input{Document: d, Manifest: m[0], Keys: keys}
	if f.chain != "" {
		in.Chain, err = ParseManifests([]byte(f.chain))
	}
	return in, err
}

func TestCheck(t *testing.T) {
	for _, events := range []int{1, 2, 3, 5, 8, 13, 300} {
		for index := 0; index < events; index += 1 + events/9 {
			f := world(t, events, index)
			if err := f.check(public); err != nil {
				t.Errorf("event %d of %d: %v", index, events, err)
			}
			f.chain = ""
			if err := f.check(public); err != nil {
				t.Errorf("without the chain: %v", err)
			}
		}
	}
}

// TestChainSaysHowFarBack: one that is cut off at its beginning is no broken one, and the report says so.
func TestChainSaysHowFarBack(t *testing.T) {
	whole := world(t, 3, 1)
	f := func(chain, want string) {
		t.Helper()
		files := whole
		files.chain = chain
		in, err := files.input(public)
		if err != nil {
			t.Fatal(err)
		}
		report := Check(in)
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(report.Findings, func(f Finding) bool { return strings.Contains(f.What, want) }) {
			t.Errorf("%+v, want %q", report.Findings, want)
		}
	}
	f(whole.chain, "from the first one, window")
	_, rest, _ := strings.Cut(whole.chain, "\n")
	f(rest, "those before it are not in the file")
}

// TestManifestsAreReadInAnySpelling: a page of the API, a list, indented, keys in another order.
func TestManifestsAreReadInAnySpelling(t *testing.T) {
	f := world(t, 5, 2)
	lines := strings.Split(f.chain, "\n")
	list := "[" + strings.Join(lines, ",") + "]"
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(list), "", "\t"); err != nil {
		t.Fatal(err)
	}
	for _, chain := range []string{list, `{"items":` + list + `,"next":""}`, indented.String()} {
		f.chain = chain
		if err := f.check(public); err != nil {
			t.Errorf("%v: %.80s", err, chain)
		}
	}
}

// TestEveryCharacterCounts changes each character of each file in turn: nothing passes but what
// spells the same.
func TestEveryCharacterCounts(t *testing.T) {
	whole := world(t, 5, 2)
	parts := func(f *files) []*string { return []*string{&f.document, &f.manifest, &f.chain} }
	for n := range parts(&whole) {
		for i := range *parts(&whole)[n] {
			f := whole
			text := []byte(*parts(&f)[n])
			switch c := text[i]; {
			case c >= '0' && c < '9', c >= 'a' && c < 'z', c >= 'A' && c < 'Z':
				text[i]++
			case c == '9', c == 'z', c == 'Z':
				text[i]--
			default:
				text[i] = '~'
			}
			*parts(&f)[n] = string(text)
			if bytes.Contains(text, []byte(`"published"`)) || n == 0 { // its name and value are not the manifest's
				if err := f.check(public); err == nil && !strings.Contains(string(text[max(0, i-16):i+1]), "published") {
					t.Errorf("file %d, character %d: ...%s... passes", n, i, text[max(0, i-30):min(len(text), i+30)])
				}
			}
		}
	}
}

func TestCheckNames(t *testing.T) {
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	f := func(want string, change func(*files), keys ...ed25519.PublicKey) {
		t.Helper()
		files := world(t, 5, 2)
		change(&files)
		if err := files.check(keys...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	line := func(f *files, n int) string { return strings.Split(f.chain, "\n")[n] }
	f("none of those given", func(*files) {}, other)
	f("none of those given", func(*files) {})
	f("proof is of batch", func(f *files) { f.manifest = line(f, 2) }, public)
	f("names", func(f *files) { f.chain = line(f, 0) + line(f, 2) }, public)
	f("names", func(f *files) { f.chain = line(f, 1) + line(f, 0) }, public)
	f("none of the 1", func(f *files) { f.chain = line(f, 0) }, public)
	f("event is not what the leaf says", func(f *files) { f.document = strings.Replace(f.document, `"amount":"0.003"`, `"amount":"0.004"`, 1) }, public)
	f("unknown field", func(f *files) { f.document = strings.Replace(f.document, `{`, `{"note":"paid",`, 1) }, public)
	f("more than one", func(f *files) { f.document += f.document }, public)
	f("not signed", func(f *files) {
		f.manifest = strings.Replace(f.manifest, `"key_id":"`+batch.KeyID(public)+`"`, `"key_id":null`, 1)
	}, public)
	f("hashed by", func(f *files) { f.document = strings.Replace(f.document, Hash, "md5", 1) }, public)
	f("no manifest", func(f *files) { f.manifest = "" }, public)
}

// FuzzParse reads anything as proof and manifest: nothing panics, and what passes is what was made.
func FuzzParse(f *testing.F) {
	w := world(f, 5, 2)
	f.Add(w.document, w.manifest)
	f.Add("{}", "[]")
	f.Add(`{"path":["00"]}`, `{"items":[null]}`)
	f.Fuzz(func(t *testing.T, document, manifest string) {
		got := files{document: document, manifest: manifest}
		if err := got.check(public); err != nil {
			return
		}
		if d, err := ParseDocument([]byte(document)); err != nil || d.Event.Subject != "acme" {
			t.Errorf("a forged proof passes: %s", document)
		}
	})
}
