package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"farthing/journal"
)

const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	// exitStorage is that of a server whose disk failed, at the start or later: what was answered is
	// durable, and it has to be started again. The journal exits with the same.
	exitStorage = 3
	// exitUnknown is that of a comparison whose one side could not be read.
	exitUnknown = 3
)

// commands is the command tree. A new command is one struct with a method
// Run(*Context) error, in a file of its own, and one line here.
type commands struct {
	globals

	Serve     serveCmd     `cmd:"" help:"Take usage events and settle them, until stopped."`
	Verify    verifyCmd    `cmd:"" help:"Derive every balance from the journal again and check the hash chain."`
	Backup    backupCmd    `cmd:"" help:"Make a copy of the ledger, also while it is in use."`
	Restore   restoreCmd   `cmd:"" help:"Make a data directory of a backup."`
	Export    exportCmd    `cmd:"" help:"Write the history as files that other programs read, and check such files."`
	Import    importCmd    `cmd:"" help:"Make a data directory of an export."`
	Reconcile reconcileCmd `cmd:"" help:"Hold the topic of settlements against the ledger."`
	Proof     proofCmd     `cmd:"" help:"Check offline that an event was settled; make the keys that sign batches."`
	Demo      demoCmd      `cmd:"" help:"Run a server under generated traffic and check that everything adds up."`
	Bench     benchCmd     `cmd:"" help:"Measure durable events per second on this machine."`
	Keys      keysCmd      `cmd:"" help:"Make API keys."`
	Prices    pricesCmd    `cmd:"" help:"Work with price books."`
	Version   versionCmd   `cmd:"" help:"Print the version and exit."`
}

// globals are the flags that every command has.
type globals struct {
	Config    configFile `help:"YAML file of settings; its keys are the names of the flags." placeholder:"FILE"`
	LogLevel  slog.Level `help:"Least severe log level written: debug, info, warn or error." default:"info" placeholder:"LEVEL"`
	LogFormat string     `help:"Log format on standard error: ${enum}." enum:"text,json" default:"text" placeholder:"FORMAT"`
}

// Context is what a command gets from the process. It is built once per
// process and only read afterwards.
type Context struct {
	// Ctx ends at the first SIGINT or SIGTERM. A command that serves drains
	// then and returns nil. A second signal ends the process at once.
	Ctx context.Context
	// Stdin is the command's input.
	Stdin io.Reader
	// Stdout takes the command's result and nothing else.
	Stdout io.Writer
	// Stderr takes messages for a human.
	Stderr io.Writer
	// Log writes to Stderr in the format and from the level asked for. No
	// secret and no event payload goes into it.
	Log *slog.Logger
	// Interactive says that Stdout is a terminal, so that colours and lines
	// drawn round tables make sense.
	Interactive bool
	// StderrTerminal says that Stderr is a terminal, so that a line of progress
	// can be written over itself. Stdout may be a file at the same time.
	StderrTerminal bool
}

// usageError is a mistake in how the command was called that only the command
// itself can see. It makes the exit code 2 instead of 1.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// unknownError says that nothing was found out. It makes the exit code 3 instead of 1, which
// says that something is wrong.
type unknownError struct{ err error }

func (e unknownError) Error() string { return e.err.Error() }
func (e unknownError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for a clean end; from then on the default holds
	// again, so that a second one ends a process that hangs while draining.
	context.AfterFunc(ctx, stop)
	os.Exit(run(os.Args[1:], &Context{
		Ctx:            ctx,
		Stdin:          os.Stdin,
		Stdout:         os.Stdout,
		Stderr:         os.Stderr,
		Interactive:    isTerminal(os.Stdout),
		StderrTerminal: isTerminal(os.Stderr),
	}))
}

// run parses args, runs the command they name and returns the exit code.
func run(args []string, ctx *Context) int {
	var cmds commands
	call, code := parse(&cmds, args, ctx)
	if call == nil {
		return code
	}
	ctx.Log = newLogger(ctx.Stderr, cmds.globals)
	err := call.Run(ctx)
	var usage usageError
	var unknown unknownError
	var disk *journal.DiskError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(ctx.Stderr, "farthing: %v\n", err)
		return exitUsage
	case errors.As(err, &unknown):
		fmt.Fprintf(ctx.Stderr, "farthing: %v\n", err)
		return exitUnknown
	case errors.As(err, &disk):
		fmt.Fprintf(ctx.Stderr, "farthing: %v\n", err)
		return exitStorage
	}
	fmt.Fprintf(ctx.Stderr, "farthing: %v\n", err)
	return exitFailure
}

// parse fills target, the struct of a command tree, from all sources. It
// returns nil and the exit code when there is nothing to run: after --help, or
// after it has reported what is wrong.
func parse(target any, args []string, ctx *Context) (*kong.Context, int) {
	helped := false
	parser, err := kong.New(target,
		kong.Name("farthing"),
		kong.Description(description),
		kong.DefaultEnvars("FARTHING"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(ctx.Stdout, ctx.Stderr),
		kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		panic("BUG: the command tree is malformed: " + err.Error())
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	call, err := parser.Parse(args)
	if helped {
		return nil, exitOK
	}
	if err != nil {
		fmt.Fprintf(ctx.Stderr, "farthing: %v\nRun \"farthing --help\" or \"farthing COMMAND --help\".\n", err)
		return nil, exitUsage
	}
	return call, exitOK
}

func newLogger(w io.Writer, g globals) *slog.Logger {
	opts := &slog.HandlerOptions{Level: g.LogLevel}
	if g.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// isTerminal says whether f is a character device, which is near enough to a
// terminal to decide about colours.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const description = `Meter usage, keep exact double-entry balances, settle in batches.

Every flag can also be set by an environment variable, --settle-every as
FARTHING_SETTLE_EVERY, or in the YAML file named by --config, as
"settle-every: 1h". The command line wins over the environment, the
environment over the file, the file over the default.`
