package suite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"farthing/bench"
	"farthing/bench/child"
	"farthing/bench/report"
)

// sustainedWorkloads are those that are driven for long, which is measured by itself.
func (s *suite) sustainedWorkloads() (all []bench.Workload) {
	for _, w := range bench.Workloads() {
		if s.sustainedTime(w) > 0 {
			all = append(all, w)
		}
	}
	return all
}

func (s *suite) sustainedTime(w bench.Workload) time.Duration {
	switch w.Name {
	case "batch-1000":
		return s.Sustained
	case "compact":
		return s.Sustained / 2
	}
	return 0
}

// sustain drives a workload for long and measures what it leaves on disk. Its ledger is only verified if all are: that takes as long
// as the run.
func (s *suite) sustain(ctx context.Context, w bench.Workload) error {
	o := s.runOf(w)
	o.Duration, o.Sustained = s.sustainedTime(w), true
	return s.with(ctx, "", nil, func(server *child.Server) error {
		var out report.Sustained
		result, err := bench.Run(ctx, s.at(o, server))
		if err != nil {
			return err
		}
		if out.Result = result; server != nil {
			if out.Disk, err = s.calm(ctx, server); err != nil {
				return err
			}
		}
		s.report.Sustained = append(s.report.Sustained, out)
		return nil
	})
}

// calm stops the server, starts it once more, which moves what stands in logs alone to tables, lets it finish compacting, stops it
// and looks at what is there.
func (s *suite) calm(ctx context.Context, server *child.Server) (*report.Disk, error) {
	var d report.Disk
	if err := timed(&d.Stop, server.Terminate); err != nil {
		return nil, err
	}
	d.Written = server.Written()
	if err := timed(&d.Start, func() error { return server.Start(ctx) }); err != nil {
		return nil, err
	}
	if err := bench.Calm(ctx, server.URL()); err != nil {
		return nil, err
	}
	if err := server.Terminate(); err != nil {
		return nil, err
	}
	return &d, filepath.WalkDir(server.Data(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("measure what is on disk: %w", err)
		}
		bytes := info.Size()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes = st.Blocks * 512 // what it occupies
		}
		if strings.HasSuffix(path, ".log") {
			d.Logs += bytes
		} else {
			d.Bytes += bytes
		}
		return nil
	})
}
