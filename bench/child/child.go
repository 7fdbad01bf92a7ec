package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	pollEvery    = 10 * time.Millisecond
	readyTimeout = 60 * time.Second // replay of a long journal, no less
	drainTimeout = 60 * time.Second
	sectorBytes  = 512 // what the system counts in
)

// Options of a Server.
type Options struct {
	// Binary is the farthing executable.
	Binary string
	// Data is the data directory; the server creates it.
	Data string
	// Scratch is an existing directory outside Data for the listen file.
	Scratch string
	// Args are further arguments of `serve`.
	Args []string
	// Command is what is run instead of `serve --data DATA`: something else that takes --listen and --listen-file, and answers /readyz.
	Command []string
	// Log takes the server's output; nil drops it. The tail stands in errors
	// either way.
	Log io.Writer
}

// Server is one server that may be started several times in its life.
type Server struct {
	opts Options
	url  atomic.Pointer[string] // written by the owner, read by anyone

	// The rest belongs to the owning goroutine.
	cmd    *exec.Cmd
	exited chan struct{} // closed by the reaper after waitErr is set
	// waitErr is the reaper's until exited is closed.
	waitErr error
	tail    *tailBuffer
	starts  int
	usage   time.Duration
	written int64
}

// New returns a server that is not started.
func New(opts Options) *Server {
	s := &Server{opts: opts}
	none := ""
	s.url.Store(&none)
	return s
}

// URL is the base of the running server, the last one's between two.
func (s *Server) URL() string { return *s.url.Load() }

// PID of the running process, 0 when there is none.
func (s *Server) PID() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Data is the data directory.
func (s *Server) Data() string { return s.opts.Data }

// Written is the bytes that the processes that have ended had the system write to disk, as far as it counts them.
func (s *Server) Written() int64 { return s.written }

// CPU is the processor time of the processes that have ended.
func (s *Server) CPU() time.Duration { return s.usage }

// Start starts the server and returns once it takes writes. On an error no
// process is left running.
func (s *Server) Start(ctx context.Context) error {
	if s.cmd != nil {
		panic("BUG: child: started twice")
	}
	s.starts++
	listenFile := filepath.Join(s.opts.Scratch, fmt.Sprintf("listen-%d", s.starts))
	args := s.opts.Command
	if len(args) == 0 {
		args = []string{"serve", "--data", s.opts.Data}
	}
	args = slices.Concat(args, []string{"--listen", "127.0.0.1:0", "--listen-file", listenFile}, s.opts.Args)
	s.tail = &tailBuffer{next: s.opts.Log}
	// The server outlives ctx, which bounds the start alone.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.opts.Binary, args...)
	cmd.Stdout, cmd.Stderr = s.tail, s.tail
	cmd.Env = environment()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.cmd, s.exited, s.waitErr = cmd, make(chan struct{}), nil
	go func(exited chan struct{}) {
		s.waitErr = cmd.Wait()
		close(exited)
	}(s.exited)
	if err := s.awaitReady(ctx, listenFile); err != nil {
		_ = s.Kill()
		return fmt.Errorf("server not ready: %w; its last words: %s", err, s.tail)
	}
	return nil
}

// awaitReady polls the listen file and then /readyz. The file is read again
// each time, for it may be seen half written.
func (s *Server) awaitReady(ctx context.Context, listenFile string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if url := readAddress(listenFile); url != "" && isReady(ctx, url) {
			s.url.Store(&url)
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("it ended: %w", orElse(s.waitErr, errors.New("exit status 0")))
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// environment is ours without FARTHING_*: settings meant for somebody's real
// server (a broker, above all) must not reach a throw-away one.
func environment() []string {
	var env []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "FARTHING_") {
			env = append(env, setting)
		}
	}
	return env
}

func readAddress(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	addr := strings.TrimSpace(string(b))
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" || port == "0" {
		return ""
	}
	return "http://" + addr
}

func isReady(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	req.Close = true
	resp, err := (&http.Client{}).Do(req) // ctx is the bound
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Terminate sends SIGTERM and waits for the end. An exit status other than 0,
// or none within a minute (the process is then killed), is an error. Without a
// running process it does nothing.
func (s *Server) Terminate() error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("SIGTERM: %w", err)
	}
	select {
	case <-s.exited:
	case <-time.After(drainTimeout):
		_ = s.Kill()
		return fmt.Errorf("the server did not end within %v of SIGTERM; its last words: %s", drainTimeout, s.tail)
	}
	err := s.waitErr
	s.reaped()
	if err != nil {
		return fmt.Errorf("after SIGTERM: %w; its last words: %s", err, s.tail)
	}
	return nil
}

// Kill sends SIGKILL and waits for the end. That the process had ended before
// by itself is an error. Without a running process it does nothing.
func (s *Server) Kill() error {
	if s.cmd == nil {
		return nil
	}
	err := s.cmd.Process.Kill()
	<-s.exited
	// A process that has ended and was not waited for yet takes the signal without an error.
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil && ok && status.Signal() != syscall.SIGKILL {
		err = fmt.Errorf("it had ended before: %s", s.cmd.ProcessState)
	}
	s.reaped()
	if err != nil {
		return fmt.Errorf("kill: %w; its last words: %s", err, s.tail)
	}
	return nil
}

func (s *Server) reaped() {
	s.usage += s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
	if used, ok := s.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.written += used.Oublock * sectorBytes
	}
	s.cmd = nil
}

// Verify runs `verify` on data and returns what it printed. An exit status
// other than 0 is an error.
func Verify(ctx context.Context, binary, data string) (string, error) {
	cmd := exec.CommandContext(ctx, binary, "verify", "--data", data)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("verify: %w: %s", err, text)
	}
	return text, nil
}
