package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"farthing/internal/soak"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: report ROWS")
	}
	rows, err := read(args[0])
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, page(newest(rows), machine()))
	return err
}

func read(path string) ([]soak.Row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var rows []soak.Row
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row soak.Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 && lines.Err() == nil {
		return nil, fmt.Errorf("%s has no row", path)
	}
	return rows, lines.Err()
}

// machine says what the run was on.
func machine() string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := runtime.GOOS
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel += " " + strings.TrimSpace(string(release))
	}
	return fmt.Sprintf("%d cores of %s, %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}

// newest keeps the last row of each test and subject, in the order in which they ended.
func newest(rows []soak.Row) []soak.Row {
	last := map[[2]string]int{}
	for i, row := range rows {
		last[[2]string{row.Test, row.Subject}] = i
	}
	return slices.Collect(func(yield func(soak.Row) bool) {
		for i, row := range rows {
			if last[[2]string{row.Test, row.Subject}] == i && !yield(row) {
				return
			}
		}
	})
}

func page(rows []soak.Row, machine string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The last long run\n\nMade by `make soak`; what each test does is said in its source. All ran on %s.\n", machine)
	for _, row := range rows {
		fmt.Fprintf(&b, "\n## %s\n\n`%s`, commit %s, %s", row.Subject, row.Test, row.Commit, row.Ended.Format(time.DateTime+" MST"))
		if row.Seconds != 0 {
			fmt.Fprintf(&b, ", %.0f s", row.Seconds)
		}
		if row.Seed != 0 {
			fmt.Fprintf(&b, ", seed %d", row.Seed)
		}
		b.WriteString("\n\n| | |\n|---|--:|\n")
		for _, name := range slices.Sorted(maps.Keys(row.Counts)) {
			fmt.Fprintf(&b, "| %s | %s |\n", name, soak.Text(row.Counts[name]))
		}
	}
	return b.String()
}
