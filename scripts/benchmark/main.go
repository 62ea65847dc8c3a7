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
	r, err := p.report(ctx, stderr)
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "bench: interrupted; all of it is gone again")
		return exitFailed
	}
	if err == nil {
		err = p.write(ctx, r, stdout)
	}
	if err == nil {
		err = r.failed()
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitFailed
	}
	return 0
}

// report measures, or reads what was measured before.
func (p *plan) report(ctx context.Context, progress io.Writer) (*Report, error) {
	if p.from != "" {
		r, err := readReport(p.from)
		if err == nil {
			r.Baseline = p.baseline
		}
		return r, err
	}
	fmt.Fprint(progress, p.announce())
	return p.measure(ctx, progress)
}

// write prints the tables, and writes the files that are wanted.
func (p *plan) write(ctx context.Context, r *Report, stdout io.Writer) (err error) {
	if p.json != "" {
		err = r.writeJSON(p.json)
	}
	if p.plot != "" {
		err = errors.Join(err, r.plot(ctx, p.tools, p.plot))
	}
	_, errPrint := io.WriteString(stdout, r.tables())
	return errors.Join(err, errPrint)
}
