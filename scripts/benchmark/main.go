// Command benchmark measures how fast mail is carried between two hosts in namespaces, with postroad and with what else could
// carry it, in turn in one run. scripts/bench builds and runs it, and says how it is used.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == probeCommand {
		os.Exit(probe(os.Args[2:], os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p, err := parse(args, stderr)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitUsage
	}
	fmt.Fprint(stderr, p.announce())
	report, err := p.measure(ctx, stderr)
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "bench: interrupted; all of it is gone again")
		return exitFailed
	}
	if err == nil {
		err = p.write(report, stdout)
	}
	if err == nil {
		err = report.failed()
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitFailed
	}
	return 0
}

// write prints the tables, and writes the JSON where it is wanted.
func (p *plan) write(r *Report, stdout io.Writer) error {
	if p.json != "" {
		if err := r.writeJSON(p.json); err != nil {
			return err
		}
	}
	_, err := io.WriteString(stdout, r.tables())
	return err
}
