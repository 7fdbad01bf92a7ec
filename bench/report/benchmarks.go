package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Benchmark is a figure of one of Go's benchmarks.
type Benchmark struct {
	Name  string  `json:"name"` // without Benchmark and the number of processors
	Unit  string  `json:"unit"`
	Value float64 `json:"value"` // the least of its repeats: what disturbs it only makes it slower
}

// ErrBenchmarks says that the output of Go's benchmarks cannot be read.
var ErrBenchmarks = errors.New("no output of Go's benchmarks")

// ReadBenchmarks reads the figures of one unit from what `go test -bench` prints.
func ReadBenchmarks(r io.Reader, unit string) (all []Benchmark, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if dash := strings.LastIndexByte(name, '-'); dash > 0 {
			name = name[:dash]
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if fields[i+1] != unit {
				continue
			}
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%w: %q", ErrBenchmarks, lines.Text())
			}
			all = least(all, Benchmark{name, unit, value})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: no line has a figure in %s", ErrBenchmarks, unit)
	}
	return all, nil
}

func least(all []Benchmark, b Benchmark) []Benchmark {
	for i := range all {
		if all[i].Name == b.Name {
			all[i].Value = min(all[i].Value, b.Value)
			return all
		}
	}
	return append(all, b)
}

func (r *Report) benchmark(name string) float64 {
	for _, b := range r.Benchmarks {
		if b.Name == name {
			return b.Value
		}
	}
	return 0
}
