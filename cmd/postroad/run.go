package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"postroad/peers"
	"postroad/peers/lookup"
	"postroad/tunnel"
	"postroad/tunnel/control"
	"postroad/tunnel/linux"
	"postroad/tunnel/metrics"
)

func runCommand(o *options) *cobra.Command {
	var lo logOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Long: "Run the daemon in the foreground. SIGHUP reads the peers file again; `postroad reload` also says whether\n" +
			"that went well. SIGTERM ends the daemon. However it ends, the protection stays: mail to peers waits, or\n" +
			"goes on through the kernel's WireGuard. `postroad down` takes it away. Where the daemon cannot start, what\n" +
			"the last good peers file protected is closed.\n\n" +
			"What happens to the protection of mail is logged to standard error, one line each; where that is systemd's\n" +
			"journal, with priorities. The section LOG LINES of postroad(1) explains them.\n\n" +
			"The exit status is 2 if the command line or the peers file is broken or the host lacks something, 3 after\n" +
			"`postroad down`, and 1 if something else failed.",
		Example: "  sudo postroad run\n" +
			"  sudo postroad run --log-level debug\n" +
			"  sudo postroad run --log-format json 2>>/var/log/postroad.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := lo.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := needPrivilege("postroad run"); err != nil {
				return err
			}
			debug.SetTraceback("crash") // by a signal: the exit status of a crash would be that of a broken file
			slog.SetDefault(log)        // what libraries log is in lines of the same kind
			return logged(log, o.run(cmd.Context(), log))
		},
	}
	lo.register(cmd)
	return cmd
}

// run is the daemon's life.
func (o *options) run(ctx context.Context, log *slog.Logger) error {
	server, c, closed, err := o.prepare(ctx, log)
	if err != nil {
		return err
	}
	defer server.Close()
	return o.runDaemon(ctx, server, c, closed, log)
}

// logged logs why the daemon does not run, each reason in a line of its own, and
// leaves the exit status: the log is where one looks.
func logged(log *slog.Logger, err error) error {
	var e exitError
	if !errors.As(err, &e) || e.err == nil {
		return err
	}
	for _, line := range tunnel.Flatten(e.err) {
		log.Error("not running", "error", line)
	}
	return exitError{code: e.code}
}

// prepare takes the control socket, which only one daemon can; closes what was
// protected last; reads the peers file, and makes sure that the host has what is
// needed. Nothing else is done before.
func (o *options) prepare(ctx context.Context, log *slog.Logger) (_ *control.Server, _ *peers.Config, closed peers.Selectors, _ error) {
	server, err := control.Listen(o.socket)
	if errors.Is(err, control.ErrRunning) {
		return nil, nil, closed, failed(err)
	}
	closed = o.shut(ctx, log)
	if err != nil {
		return nil, nil, closed, failed(err)
	}
	c, err := o.loadFit()
	if err == nil {
		return server, c, closed, nil
	}
	server.Close()
	if n := len(closed.Addresses); n > 0 {
		log.Warn("closed: SMTP with the peers of the last good file is in their tunnels or waits", "addresses", n)
	}
	if linux.Passing(err) {
		return nil, nil, closed, failed(err)
	}
	return nil, nil, closed, misconfigured(err)
}

// loadFit reads the peers file, and refuses one that asks for what this host
// lacks: whatever is in force then stays so.
func (o *options) loadFit() (*peers.Config, error) {
	c, err := peers.LoadAgain(o.file, &o.blocks)
	if err == nil {
		err = linux.Missing(c)
	}
	return c, err
}

// shut closes what the last good peers file protected, and says what that is. It comes before all that can fail, hang or crash: after a
// reboot nothing else closes them.
func (o *options) shut(ctx context.Context, log *slog.Logger) peers.Selectors {
	s, err := peers.LoadSelectors(o.selectors)
	if err == nil && len(s.Addresses) > 0 {
		err = tunnel.Shut(ctx, linux.NewReader(log), s)
	}
	if err != nil {
		log.Error("closing what was protected", "error", err)
	}
	return s
}

// runDaemon runs loop, socket and signals until ctx ends or one of them fails.
func (o *options) runDaemon(ctx context.Context, server *control.Server, c *peers.Config, closed peers.Selectors, log *slog.Logger) error {
	answers, err := peers.LoadAnswers(o.answersFile())
	if err != nil {
		log.Error("starting without what DNS said last", "error", err)
	}
	kernel := linux.New(log)
	defer kernel.Close()
	systemd := newNotifier()
	told := &metrics.Server{Log: log}
	defer told.Close()
	loop := tunnel.New(tunnel.Loop{
		System: kernel,
		Load:   o.loadFit,
		Lookup: lookUp,
		Log:    log,
		Prober: kernel,

		Answers:     answers,
		SaveAnswers: func(a peers.Answers) error { return a.Save(o.answersFile()) },
		Closed:      closed.Addresses,
		Delivery:    lookup.System().Delivery,

		Remember: func(s peers.Selectors) error { return s.Save(o.selectors) },
		Latches:  o.latches(),
		Embedded: spareMemory,
		Hurry:    kernel.Hurry,
		Ready: func(open int) {
			if open > 0 {
				log.Warn("ready: SMTP with peers is in the tunnel or not on the wire, but for those in clear by policy", "clear", open)
			} else {
				log.Info("ready: SMTP with peers is in the tunnel or not on the wire")
			}
			systemd.ready()
		},
		Alive:      systemd.alive,
		AliveEvery: systemd.every,
		Tell:       systemd.tell,
		Expose:     told.Expose,
	}, c)
	told.Handler = metrics.Handler(metrics.New(version(), loop))
	log.Info("starting", "version", version(), "peers", len(c.Peers), "public_key", c.Host.PrivateKey.Public())

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stop() // after down nothing is left to do
		return loop.Run(ctx)
	})
	g.Go(func() error { return server.Serve(ctx, loop, told.Handler) })
	g.Go(func() error { return reloadOnHangup(ctx, loop) })
	err = g.Wait()
	if err == nil && loop.TakenDown() {
		log.Warn("stopped: the protection was taken away, SMTP with peers flows in clear")
		return exitError{code: exitDown}
	}
	log.Info("stopped: the protection stays in the kernel")
	return failed(err)
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
