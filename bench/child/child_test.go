package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain makes the test binary its own fake server: started with `serve` or
// `verify` it behaves as the data directory's name says.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(fakeServe(flags(os.Args[2:])))
	}
	if len(os.Args) > 1 && os.Args[1] == "verify" {
		os.Exit(fakeVerify(flags(os.Args[2:])))
	}
	os.Exit(m.Run())
}

func flags(args []string) map[string]string {
	named := map[string]string{}
	for i := 0; i+1 < len(args); i += 2 {
		named[args[i]] = args[i+1]
	}
	return named
}

func fakeServe(args map[string]string) int {
	behaviour := filepath.Base(args["--data"])
	if behaviour == "refuses" {
		fmt.Fprintln(os.Stderr, "no such luck")
		return 3
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	listener, err := net.Listen("tcp", args["--listen"])
	if err != nil {
		return 4
	}
	ready := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, os.Getpid(), " ", os.Getenv("FARTHING_KAFKA"))
	})
	go func() { _ = http.Serve(listener, ready) }()
	if err := os.WriteFile(args["--listen-file"], []byte(listener.Addr().String()+"\n"), 0o600); err != nil {
		return 5
	}
	<-terminated
	if behaviour == "drains-badly" {
		fmt.Fprintln(os.Stderr, "something is left")
		return 6
	}
	return 0
}

func fakeVerify(args map[string]string) int {
	if filepath.Base(args["--data"]) == "differs" {
		fmt.Println("balance of acme differs")
		return 1
	}
	fmt.Println("all agrees")
	return 0
}

// newServer is a server that behaves as its data directory is named.
func newServer(t *testing.T, behaviour string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := New(Options{Binary: self(t), Data: filepath.Join(dir, behaviour), Scratch: dir})
	t.Cleanup(func() { _ = s.Kill() })
	return s
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T, s *Server) string {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var said [100]byte
	n, _ := resp.Body.Read(said[:])
	return string(said[:n])
}

func TestLives(t *testing.T) {
	t.Setenv("FARTHING_KAFKA", "somebody's broker")
	s := newServer(t, "healthy")
	first := start(t, s)
	if want := fmt.Sprint(s.PID(), " "); first != want {
		t.Errorf("the server says %q, want %q: its own pid and no setting of ours", first, want)
	}
	if err := s.Kill(); err != nil || s.PID() != 0 {
		t.Fatalf("kill: %v, pid %d", err, s.PID())
	}
	if second := start(t, s); second == first {
		t.Error("the same process after a kill")
	}
	if err := s.Terminate(); err != nil {
		t.Error(err)
	}
	if s.CPU() <= 0 {
		t.Error("no processor time was counted")
	}
	if err := errors.Join(s.Terminate(), s.Kill()); err != nil {
		t.Errorf("stopping what is stopped: %v", err)
	}
}

func TestBadEnds(t *testing.T) {
	err := newServer(t, "refuses").Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a server that refuses to start: %v", err)
	}
	s := newServer(t, "drains-badly")
	start(t, s)
	if err := s.Terminate(); err == nil || !strings.Contains(err.Error(), "something is left") {
		t.Errorf("a server that ends with 6: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newServer(t, "healthy").Start(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was cancelled: %v", err)
	}
	gone := New(Options{Binary: filepath.Join(t.TempDir(), "missing")})
	if err := gone.Start(t.Context()); err == nil || gone.PID() != 0 {
		t.Errorf("a missing binary: %v", err)
	}
}

func TestVerify(t *testing.T) {
	said, err := Verify(t.Context(), self(t), filepath.Join(t.TempDir(), "agrees"))
	if err != nil || said != "all agrees" {
		t.Errorf("%q, %v", said, err)
	}
	_, err = Verify(t.Context(), self(t), filepath.Join(t.TempDir(), "differs"))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(err.Error(), "acme differs") {
		t.Errorf("got %v", err)
	}
}

func TestReadAddress(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "listen")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readAddress(file); got != want {
			t.Errorf("%q gives %q, want %q", content, got, want)
		}
	}
	f("127.0.0.1:8080\n", "http://127.0.0.1:8080")
	f("[::1]:9", "http://[::1]:9")
	f("127.0.0.1:", "")
	f("127.0.0", "")
	f("127.0.0.1:0\n", "")
	f("", "")
}

func TestTail(t *testing.T) {
	var tail tailBuffer
	for range 3 {
		_, _ = tail.Write([]byte(strings.Repeat("x", tailBytesMax/2)))
	}
	_, _ = tail.Write([]byte("the end\n"))
	if got := tail.String(); len(got) > tailBytesMax || !strings.HasSuffix(got, "xthe end") {
		t.Errorf("%d bytes, ending %q", len(got), got[len(got)-20:])
	}
}
