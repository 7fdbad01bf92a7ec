package main

import "testing"

// FuzzSettings reads any configuration file: it is refused, or it names known flags only, each with a value.
func FuzzSettings(f *testing.F) {
	known := []string{"data", "kafka", "listen"}
	for _, text := range []string{"", "data: d\n", "kafka: [a:1, b:2]\nlisten: 127.0.0.1:0\n", "data: &x d\nlisten: *x\n", "data: {a: 1}\n", "a: &a [*a]\n",
		"data: 1e400\n", "? [x]\n: y\n", "---\n---\n", "data: !!binary aGk=\n", "<<: {data: d}\n", "data: ~\n", "\xff"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseSettings(text, known)
		if err != nil {
			return
		}
		for name, set := range got {
			if name != "data" && name != "kafka" && name != "listen" {
				t.Errorf("setting %q is none", name)
			}
			if !set.list && len(set.items) != 1 {
				t.Errorf("%s has %d values", name, len(set.items))
			}
		}
	})
}
