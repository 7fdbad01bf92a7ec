package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// configBytesMax bounds the configuration file. A file of flags is a few
// hundred bytes; anything near a megabyte is the wrong file.
const configBytesMax = 1 << 20

// configFile is the type of --config. It makes kong read the file it names
// before the other flags are settled.
type configFile string

// BeforeResolve is called by kong once --config is known, whether from the
// command line or the environment.
func (configFile) BeforeResolve(app *kong.Kong, ctx *kong.Context, trace *kong.Path) error {
	path := string(ctx.FlagValue(trace.Flag).(configFile))
	if path == "" {
		return nil
	}
	settings, err := loadSettings(path, knownSettings(app.Model))
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	ctx.AddResolver(settings)
	return nil
}

// settings answers kong's question for the value of a flag from a
// configuration file. The key is the flag's name; the value is the text that
// would follow the flag on the command line, so that both parse alike.
type settings map[string]setting

type setting struct {
	items []string // one for a scalar, any number for a list
	list  bool
	line  int
}

var _ kong.Resolver = settings(nil)

// Validate has nothing left to do: loadSettings has refused unknown keys.
func (settings) Validate(*kong.Application) error { return nil }

// Resolve returns nil where the file is silent or the environment speaks: kong
// would put the file above the environment.
func (s settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	set, ok := s[flag.Name]
	if !ok || inEnvironment(flag) {
		return nil, nil
	}
	if !set.list {
		return set.items[0], nil
	}
	if !flag.IsSlice() {
		return nil, fmt.Errorf("line %d of the configuration file: %s takes one value, not a list", set.line, flag.Name)
	}
	return kong.JoinEscaped(set.items, flag.Tag.Sep), nil
}

func inEnvironment(flag *kong.Flag) bool {
	return slices.ContainsFunc(flag.Envs, func(name string) bool {
		_, ok := os.LookupEnv(name)
		return ok
	})
}

// knownSettings lists, sorted, the names of all flags of all commands: one file
// serves every command of an installation.
func knownSettings(app *kong.Application) []string {
	names := map[string]bool{}
	var visit func(node *kong.Node)
	visit = func(node *kong.Node) {
		for _, flag := range node.Flags {
			if flag.Name != "help" && flag.Name != "config" {
				names[flag.Name] = true
			}
		}
		for _, child := range node.Children {
			visit(child)
		}
	}
	visit(app.Node)
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return sorted
}

func loadSettings(path string, known []string) (settings, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // read only: closing cannot lose anything
	text, err := io.ReadAll(io.LimitReader(file, configBytesMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > configBytesMax {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, configBytesMax)
	}
	parsed, err := parseSettings(text, known)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return parsed, nil
}

// parseSettings reads one YAML mapping of flag names to values and reports
// everything that is wrong with it.
func parseSettings(text []byte, known []string) (settings, error) {
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return settings{}, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want a mapping of flag names to values", root.Line)
	}
	result := settings{}
	var problems []error
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		set, err := parseSetting(value)
		switch {
		case !slices.Contains(known, key.Value):
			err = fmt.Errorf("unknown; known keys are %s", strings.Join(known, ", "))
		case result[key.Value].items != nil:
			err = fmt.Errorf("given already on line %d", result[key.Value].line)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("line %d: %s: %w", key.Line, key.Value, err))
			continue
		}
		result[key.Value] = set
	}
	return result, errors.Join(problems...)
}

func parseSetting(value *yaml.Node) (setting, error) {
	set := setting{items: []string{}, line: value.Line}
	switch value.Kind {
	case yaml.ScalarNode:
		text, err := scalarText(value)
		set.items = append(set.items, text)
		return set, err
	case yaml.SequenceNode:
		set.list = true
		for _, item := range value.Content {
			text, err := scalarText(item)
			if err != nil {
				return set, err
			}
			set.items = append(set.items, text)
		}
		return set, nil
	}
	return set, errors.New("want one value or a list of values")
}

// scalarText returns a scalar as it is spelled: 1h, 8080, true.
func scalarText(node *yaml.Node) (string, error) {
	switch {
	case node.Kind != yaml.ScalarNode:
		return "", errors.New("want one value or a list of values")
	case node.Tag == "!!null":
		return "", errors.New("has no value")
	}
	return node.Value, nil
}
