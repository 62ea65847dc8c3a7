// Command postroad lays an encrypted road between mail hosts: the daemon, and
// the commands to live with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2 // or configuration, or the host lacks something
	exitDown   = 3 // of `run`: the protection was taken away on purpose
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main, to be called by tests: words in, words and exit status out.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var e exitError
	if !errors.As(err, &e) {
		e = exitError{code: exitUsage, err: err} // cobra's own: unknown commands and flags
	}
	if e.err != nil {
		for _, line := range tunnel.Flatten(e.err) {
			fmt.Fprintf(stderr, "postroad: %v\n", line)
		}
	}
	return e.code
}

// An exitError ends the program with a status. Its err may be nil where all
// has been said.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return fmt.Sprint(e.err) }
func (e exitError) Unwrap() error { return e.err }

// failed marks err as a failure, not the user's mistake. Nil stays nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return exitError{exitFailed, err}
}

// misconfigured marks err as a fault of the configuration. Nil stays nil.
func misconfigured(err error) error {
	if err == nil {
		return nil
	}
	return exitError{exitUsage, err}
}
