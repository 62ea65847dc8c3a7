// Command scale measures how postroad's cost grows with the number of peers.
// scripts/scale builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// What there is to choose.
var (
	peers  = flag.String("peers", defaultPeers(), "how many peers, separated by commas")
	runs   = flag.Int("runs", 3, "how often to measure each")
	settle = flag.Duration("settle", 10*time.Minute, "how long to wait at most until peers that do not answer are given up; 0: not at all")
	idle   = flag.Duration("idle", 30*time.Second, "how long to look at the idle daemon")
	rounds = flag.Int("rounds", 5, "how often to compare the cost of packets, in turn with one peer")
	quick  = flag.Bool("quick", false, "look only whether it works: 1 and 100 peers, once, without waiting")
)

// defaultPeers goes as far as the backend does.
func defaultPeers() string {
	if lab.Backend() == "kernel" {
		return "1,100,1000,10000,100000"
	}
	return "1,100,1000,10000,65000"
}

func main() {
	flag.Parse()
	if *quick {
		*peers, *runs, *settle, *idle, *rounds = "1,100", 1, 0, time.Second, 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := scale(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "scale: %v\n", err)
		os.Exit(1)
	}
}

func scale(ctx context.Context) error {
	var rows []row
	for word := range strings.SplitSeq(*peers, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("reading --peers: %w", err)
		}
		fmt.Fprintf(os.Stderr, "%d peers\n", n)
		r, err := measure(ctx, n)
		if err != nil {
			return fmt.Errorf("%d peers: %w", n, err)
		}
		rows = append(rows, r)
	}
	fmt.Printf("%s backend, %s\n\n", lab.Backend(), machine())
	return printRows(os.Stdout, rows)
}

// measure measures n peers.
func measure(ctx context.Context, n int) (r row, err error) {
	r.peers = n
	for range *runs {
		if err := r.start(ctx); err != nil {
			return r, err
		}
	}
	s, err := newStage(ctx, n)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return r, errors.Join(r.rest(ctx, s), r.reload(ctx, s), r.packets(ctx, s))
}
