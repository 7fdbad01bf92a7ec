package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/profile"

	"farthing/bench"
	"farthing/bench/child"
	"farthing/bench/report"
)

// planProfiles plans to run workloads once more, with a profile of the server's processor time; that run's rate is not reported.
func (s *suite) planProfiles(add func(string, time.Duration, func(context.Context) error)) {
	if !s.Profile {
		return
	}
	if s.Binary == "" {
		s.skip("processor time by stage: the server was not started here")
		return
	}
	for _, w := range s.Workloads {
		if w.Settles || s.Identities > 0 && !slices.Contains(profiledOfAll, w.Name) {
			continue
		}
		add("profile of "+w.Name, aroundRun+s.Run.Warmup+s.profileTime()+profileMore, func(ctx context.Context) error { return s.profile(ctx, w) })
	}
}

// profiledOfAll are the workloads that are run once more where everything is measured: others spend their time in the same way, or take
// a million accounts.
var profiledOfAll = []string{"single", "batch-1000", "compact", "llm", "mixed", "holds"}

func (s *suite) profile(ctx context.Context, w bench.Workload) error {
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	return s.with(ctx, "", []string{"--debug-listen=" + address}, func(server *child.Server) error {
		o := s.at(s.runOf(w), server)
		got := make(chan taken, 1)
		began := false
		progress := o.Progress
		o.Progress = func(p bench.Progress) {
			if p.Measuring && !began {
				began = true
				go func() { got <- s.take(ctx, address, w.Name) }()
			}
			if progress != nil {
				progress(p)
			}
		}
		o.Duration = s.profileTime() + profileMore
		result, err := bench.Run(ctx, o)
		if err != nil {
			return err
		}
		t := <-got
		if t.err != nil {
			return t.err
		}
		s.report.Stages = append(s.report.Stages, report.Stages{Title: w.Name,
			Events: uint64(float64(result.EventsPerSecond) * s.profileTime().Seconds()), Stages: stagesOf(t.profile)})
		return nil
	})
}

// profileTime is whole seconds.
func (s *suite) profileTime() time.Duration {
	return cmp.Or(max(s.ProfileTime.Truncate(time.Second), 0), usualProfile)
}

const (
	usualProfile = 2 * time.Second
	profileMore  = 2 * time.Second // it begins when progress is told, and takes a moment to come
	profileMax   = 64 << 20
)

// freeAddress is one on the loopback that nothing listens on, for the moment.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// taken is a profile of processor time.
type taken struct {
	profile *profile.Profile
	err     error
}

// profileKinds are what is taken for ProfileDir, beside processor time, by the names of net/http/pprof.
var profileKinds = []string{"allocs", "block", "mutex"}

// take takes the profiles of one run.
func (s *suite) take(ctx context.Context, address, name string) taken {
	if s.ProfileDir == "" {
		raw, err := s.fetch(ctx, address, "profile")
		return parsed(raw, err)
	}
	var wg sync.WaitGroup
	kinds := append([]string{"profile"}, profileKinds...)
	raw, errs := make([][]byte, len(kinds)), make([]error, len(kinds))
	for i, kind := range kinds {
		wg.Go(func() {
			if raw[i], errs[i] = s.fetch(ctx, address, kind); errs[i] == nil {
				errs[i] = os.WriteFile(filepath.Join(s.ProfileDir, name+"."+kind+".pprof"), raw[i], 0o600)
			}
		})
	}
	wg.Wait()
	return parsed(raw[0], errors.Join(errs...))
}

func parsed(raw []byte, err error) taken {
	if err != nil {
		return taken{err: err}
	}
	p, err := profile.ParseData(raw)
	return taken{p, err}
}

// fetch takes a profile of what happens in that time.
func (s *suite) fetch(ctx context.Context, address, kind string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.profileTime()+10*time.Second)
	defer cancel()
	url := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", address, kind, int(s.profileTime().Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{}).Do(req) // ctx is the bound
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, profileMax))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, raw)
	}
	return raw, err
}

// stageRules tell the stages by the functions on the stack: the first rule that has one of its functions there counts.
var stageRules = []struct {
	stage     string
	functions []string
}{
	{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.gcAssistAlloc", "runtime.bgscavenge"}},
	{"sockets", []string{"internal/poll.(*FD).Read", "internal/poll.(*FD).Write", "internal/poll.(*FD).Accept"}},
	{"read and parse requests", []string{"httpapi.(*decoder)", "httpapi.decode", "httpapi.(*jsonDecoder)"}},
	{"look-up of identities on disk", []string{"engine.(*Engine).lookup"}},
	{"other HTTP", []string{"fasthttp.(*workerPool)", "fasthttp.(*Server).serveConn"}},
	{"sequencer", []string{"engine.(*sequencer).run"}},
	{"commit", []string{"engine.(*Engine).commitLoop"}},
	{"index and evidence", []string{"engine.(*indexer)", "engine.(*Engine).index", "engine.(*evidencer)", "engine.(*Engine).evidence"}},
	{"checkpoints and runs", []string{"farthing/engine."}},
	{"store: log, flush, compaction", []string{"cockroachdb/pebble"}},
	{"scheduler", []string{"runtime.mcall", "runtime.schedule", "runtime.findRunnable", "runtime.mstart"}},
}

// stagesOf adds up a profile's processor time by stage, the largest first.
func stagesOf(p *profile.Profile) []report.Stage {
	cpu := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" })
	if cpu < 0 {
		return nil
	}
	sums := map[string]time.Duration{}
	for _, sample := range p.Sample {
		sums[stageOf(sample)] += time.Duration(sample.Value[cpu])
	}
	var all []report.Stage
	for name, spent := range sums {
		all = append(all, report.Stage{Name: name, CPU: spent})
	}
	slices.SortFunc(all, func(a, b report.Stage) int { return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(a.Name, b.Name)) })
	return all
}

func stageOf(sample *profile.Sample) string {
	for _, rule := range stageRules {
		for _, location := range sample.Location {
			for _, line := range location.Line {
				if line.Function != nil && slices.ContainsFunc(rule.functions, func(f string) bool { return strings.Contains(line.Function.Name, f) }) {
					return rule.stage
				}
			}
		}
	}
	return "other"
}
