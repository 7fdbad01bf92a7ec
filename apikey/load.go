package apikey

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fileBytesMax bounds a key file: some 8,000 keys. Authenticate is linear in
// their number, so a file that large is a mistake long before it is a limit.
const fileBytesMax = 1 << 20

// Load reads a key file: a YAML list of {id, hash, scopes}, with limits if there are any.
// It reports all problems at once and returns a Set only if there are none. A file on which
// anyone but its owner has any permission is refused: who can write it can let
// himself in, and who can read it learns whom to impersonate.
func Load(path string) (*Set, error) {
	set, _, err := load(path)
	return set, err
}

// Parse reads the text of a key file; see Load for what it refuses.
func Parse(text []byte) (*Set, error) {
	items, err := listItems(text)
	if err != nil {
		return nil, err
	}
	set := &Set{entries: make([]entry, 0, len(items))}
	ids := map[KeyID]int{}
	hashes := map[[sha256.Size]byte]int{}
	var problems []error
	for _, item := range items {
		e, wrong := parseEntry(item)
		if len(wrong) == 0 {
			if line := ids[e.id]; line != 0 {
				wrong = append(wrong, fmt.Errorf("%w: id %q stands on line %d", ErrDuplicate, e.id, line))
			}
			if line := hashes[e.hash]; line != 0 {
				wrong = append(wrong, fmt.Errorf("%w: its hash stands on line %d", ErrDuplicate, line))
			}
			ids[e.id], hashes[e.hash] = item.Line, item.Line
		}
		for _, problem := range wrong {
			problems = append(problems, fmt.Errorf("line %d: %w", item.Line, problem))
		}
		set.entries = append(set.entries, e)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return set, nil
}

func listItems(text []byte) ([]*yaml.Node, error) {
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: it holds no key", ErrFile)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one YAML document", ErrFile)
	}
	root := doc.Content[0]
	switch {
	case root.Kind != yaml.SequenceNode:
		return nil, fmt.Errorf("%w: line %d: want a list of {id, hash, scopes}", ErrFile, root.Line)
	}
	return root.Content, nil
}

// parseEntry returns what is wrong with an entry; if that is empty, the entry
// is complete.
func parseEntry(item *yaml.Node) (e entry, wrong []error) {
	if item.Kind != yaml.MappingNode {
		return e, []error{fmt.Errorf("%w: want {id, hash, scopes}", ErrEntry)}
	}
	seen := map[string]bool{}
	for i := 0; i < len(item.Content); i += 2 {
		name, value := item.Content[i].Value, item.Content[i+1]
		if seen[name] {
			wrong = append(wrong, fmt.Errorf("%w: %s is given twice", ErrEntry, name))
			continue
		}
		seen[name] = true
		var err error
		switch name {
		case "id":
			e.id, err = KeyID(value.Value), checkID(value.Value)
		case "hash":
			e.hash, err = parseHash(value.Value)
		case "scopes":
			e.scopes, err = scopesOf(value)
		default:
			err = e.setLimit(name, value)
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	for _, name := range []string{"id", "hash", "scopes"} {
		if !seen[name] {
			wrong = append(wrong, fmt.Errorf("%w: %s is missing", ErrEntry, name))
		}
	}
	if e.limits.RequestBurst > 0 && e.limits.RequestsPerSecond == 0 || e.limits.ByteBurst > 0 && e.limits.BytesPerSecond == 0 {
		wrong = append(wrong, fmt.Errorf("%w: a burst wants its rate a second beside it", ErrEntry))
	}
	if e.limits != (Limits{}) {
		e.limiter = newLimiter(e.limits)
	}
	return e, wrong
}

func (e *entry) setLimit(name string, value *yaml.Node) error {
	known := []string{"id", "hash", "scopes"}
	for _, field := range limitFields {
		if known = append(known, field.name); field.name != name {
			continue
		}
		n, err := strconv.ParseInt(value.Value, 10, 64)
		if value.Kind != yaml.ScalarNode || err != nil || n < 1 || n > limitMax {
			return fmt.Errorf("%w: %s: want a whole number from 1 to %d", ErrEntry, name, int64(limitMax))
		}
		*field.of(&e.limits) = n
		return nil
	}
	return fmt.Errorf("%w: unknown field %q; known are %s", ErrEntry, name, strings.Join(known, ", "))
}

// parseHash does not quote what it refuses: someone may have put the secret
// itself there, and errors end up in logs.
func parseHash(text string) (hash [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(text, hashPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(hash)) {
		return hash, fmt.Errorf("%w: hash: want %q and %d hex digits", ErrEntry, hashPrefix, hex.EncodedLen(len(hash)))
	}
	if _, err := hex.Decode(hash[:], []byte(digits)); err != nil {
		return hash, fmt.Errorf("%w: hash: not hexadecimal", ErrEntry)
	}
	return hash, nil
}

func scopesOf(value *yaml.Node) (Scopes, error) {
	var names []string
	if value.Kind != yaml.SequenceNode || value.Decode(&names) != nil {
		return 0, fmt.Errorf("%w: scopes: want a list of %s", ErrEntry, ScopeNames())
	}
	scopes, unknown := ParseScopes(names)
	switch {
	case len(unknown) > 0:
		return 0, fmt.Errorf("%w: scopes: unknown %s; known are %s", ErrEntry, strings.Join(unknown, ", "), ScopeNames())
	case scopes == 0:
		return 0, fmt.Errorf("%w: scopes: want at least one of %s", ErrEntry, ScopeNames())
	}
	return scopes, nil
}
