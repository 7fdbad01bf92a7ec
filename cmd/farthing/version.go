package main

import (
	"fmt"
	"runtime"
)

// version is set by the linker (see the Makefile) and read-only afterwards.
var version = "unreleased"

type versionCmd struct{}

// Run prints the version of Farthing and of the Go release that built it.
func (versionCmd) Run(ctx *Context) error {
	_, err := fmt.Fprintf(ctx.Stdout, "farthing %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
