package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
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
	if len(args) != 2 {
		return errors.New("usage: report ROWS COMMIT")
	}
	rows, err := read(args[0])
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, page(rows, args[1], machine()))
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

func page(rows []soak.Row, commit, machine string) string {
	var b strings.Builder
	last := rows[0].Ended
	for _, row := range rows {
		if row.Ended.After(last) {
			last = row.Ended
		}
	}
	fmt.Fprintf(&b, "# The last long run\n\nMade by `make soak`; what each test does is said in its source.\n\n")
	fmt.Fprintf(&b, "- commit: %s\n- machine: %s\n- ended: %s\n\n", commit, machine, last.Format(time.RFC3339))
	fmt.Fprintf(&b, "| Subject | Figures | Seed | Seconds | Test |\n|---|---|---|---|---|\n")
	for _, row := range rows {
		seed, seconds := "–", "–"
		if row.Seed != 0 {
			seed = fmt.Sprint(row.Seed)
		}
		if row.Seconds != 0 {
			seconds = fmt.Sprintf("%.0f", row.Seconds)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` |\n", row.Subject, row.Counts, seed, seconds, row.Test)
	}
	return b.String()
}
