package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/control"
	"postroad/tunnel/linux"
)

func runCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Long: "Run the daemon in the foreground. SIGHUP reads the peers file again. When the daemon ends,\n" +
			"however it does, the protection stays: mail to peers waits. `postroad down` takes it away.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needPrivilege("postroad run"); err != nil {
				return err
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			return failed(runDaemon(cmd.Context(), o, c, cmd.ErrOrStderr()))
		},
	}
}

// runDaemon runs loop, socket and signals until ctx ends or one of them fails.
func runDaemon(ctx context.Context, o *options, c *peers.Config, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	server, err := control.Listen(o.socket)
	if err != nil {
		return err
	}
	defer server.Close()
	kernel := linux.New(log)
	defer kernel.Close()
	loop := tunnel.New(tunnel.Loop{
		System: kernel,
		Load:   func() (*peers.Config, error) { return peers.Load(o.file) },
		Lookup: lookup,
		Log:    log,
		Ready:  func() { log.Info("ready: SMTP with peers is in the tunnel or not on the wire") },
	}, c)
	log.Info("starting", "version", version(), "peers", len(c.Peers), "public_key", c.Host.PrivateKey.Public())

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stop() // after down nothing is left to do
		return loop.Run(ctx)
	})
	g.Go(func() error { return server.Serve(ctx, loop) })
	g.Go(func() error { return reloadOnHangup(ctx, loop) })
	err = g.Wait()
	log.Info("stopped", "error", err)
	return err
}

func reloadOnHangup(ctx context.Context, loop *tunnel.Loop) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			_ = loop.Reload(ctx) // it logs what is wrong, and so does status
		}
	}
}

// lookup resolves a name with the system's resolver settings.
func lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, err
}
