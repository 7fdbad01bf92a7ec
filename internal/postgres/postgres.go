package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ready is what the server writes once it takes connections, in every locale that we start it in.
const (
	ready        = "database system is ready to accept connections"
	startTimeout = time.Minute
	superuser    = "postgres"
)

// ErrMissing says that PostgreSQL is not installed.
var ErrMissing = errors.New("postgres: no PostgreSQL here: initdb is in neither PATH nor /usr/lib/postgresql/*/bin")

// Server is a running server.
type Server struct {
	dir string // of its socket and data
	bin string // of its programs
	cmd *exec.Cmd
	// hold is the pipe whose end stops the server.
	hold io.Closer
}

// Start starts a server with settings, as "fsync=off", on a new directory in parent; "": where temporary files are. It is the caller's to stop, and ends
// with the process otherwise. ErrMissing: PostgreSQL is not installed.
func Start(parent string, settings ...string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	return launch(bin, parent, settings)
}

// Stop ends the server and removes its directory.
func (s *Server) Stop() error {
	err := s.hold.Close()
	if waited := s.cmd.Wait(); waited != nil {
		err = errors.Join(err, fmt.Errorf("postgres: stop the server: %w", waited))
	}
	// The server's user empties the directory, and may not remove it from one that is ours.
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Dir is the server's directory, which goes with it.
func (s *Server) Dir() string { return s.dir }

// programs finds the directory of the newest installed release.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		// A link to it need not have the others beside it.
		path, err = filepath.EvalSymlinks(path)
		return filepath.Dir(path), err
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	release := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 for what is no number
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return release(a) - release(b) })
	return filepath.Dir(newest), nil
}

// unprivileged returns whom the server runs as: nil for us, unless we are root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(found.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err, err2)
	}
	return nil, errors.New("postgres: PostgreSQL refuses to run as root, and there is no user postgres or nobody")
}

func launch(bin, parent string, settings []string) (*Server, error) {
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "farthing-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin}
	err = s.initialize(as)
	if err == nil {
		err = s.run(as, settings)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) initialize(as *syscall.Credential) error {
	if as != nil {
		if err := os.Chown(s.dir, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", superuser, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("postgres: initdb: %w: %s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// run starts the server under a shell that leads a session of its own, so that an interrupt from the terminal ends the program and not it.
func (s *Server) run(as *syscall.Credential, settings []string) error {
	const script = `program=$0; dir=$1; shift; "$program" -D "$dir/data" -k "$dir" -c listen_addresses= -c lc_messages=C "$@" >&2 3<&- & pid=$!
cat >/dev/null; kill -INT $pid; wait $pid; rm -rf -- "$dir/data" "$dir"/.s.*; rmdir "$dir" 2>/dev/null; exit 0`
	args := []string{"-c", script, filepath.Join(s.bin, "postgres"), s.dir}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	s.cmd = exec.Command("bash", args...)
	s.cmd.Dir, s.cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: as, Setsid: true}
	hold, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.hold = hold
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	s.cmd.Stderr = write
	err = errors.Join(s.cmd.Start(), write.Close())
	if err != nil {
		return errors.Join(err, read.Close())
	}
	return s.await(read)
}

// await reads the server's log until it is ready, and goes on reading so that the pipe never fills.
func (s *Server) await(log io.ReadCloser) error {
	outcome := make(chan error, 1)
	go func() {
		defer func() { _ = log.Close() }()
		var seen bytes.Buffer
		for scan := bufio.NewScanner(log); scan.Scan(); {
			if seen.Len() < 1<<16 {
				seen.WriteString(scan.Text() + "\n")
			}
			if strings.Contains(scan.Text(), ready) {
				outcome <- nil
			}
		}
		select {
		case outcome <- fmt.Errorf("postgres: the server ended: %s", seen.String()):
		default: // it was ready, and Start has long returned
		}
	}()
	var err error
	select {
	case err = <-outcome:
	case <-time.After(startTimeout):
		err = errors.New("postgres: the server is not ready in time")
	}
	if err != nil {
		return errors.Join(err, s.hold.Close(), s.cmd.Wait())
	}
	return nil
}

// DSN is the connection string of a database, for libpq, pgx and node-postgres alike.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s", superuser, database, url.QueryEscape(s.dir))
}

// CreateDatabase makes an empty database.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	_, err := s.Query(ctx, "postgres", "CREATE DATABASE "+name)
	return err
}

// Query runs SQL and returns the rows as psql prints them unaligned: a line each, columns separated by |.
func (s *Server) Query(ctx context.Context, database, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", s.DSN(database), "-c", sql)
	cmd.Dir = "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql %s: %w: %s", database, err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
