package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/linux"
)

func planCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "Show what running or reloading would change, changing nothing",
		Long: "Show, step by step, what `postroad run` or `postroad reload` would change in the kernel now. Nothing is\n" +
			"changed, and no secret is shown. Names stand for what DNS said to the daemon last. The exit status is 2 if the peers file is broken.",
		Example: "  sudo postroad plan\n" +
			"  sudo postroad plan -c ./new.toml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needPrivilege("postroad plan"); err != nil {
				return err
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			plan, err := o.makePlan(cmd.Context(), c)
			if err != nil {
				return failed(err)
			}
			if len(plan) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing to change")
			}
			fmt.Fprint(cmd.OutOrStdout(), plan)
			return nil
		},
	}
}

func (o *options) makePlan(ctx context.Context, c *peers.Config) (tunnel.Plan, error) {
	open := o.open(c)
	c, names := o.resolve(ctx, c)
	q := tunnel.Query{Link: c.Host.Link, Remotes: tunnel.Remotes(c, names)}
	have, facts, err := linux.NewReader(slog.New(slog.DiscardHandler)).Observe(ctx, q)
	if err != nil {
		return nil, err
	}
	facts.Endpoints, facts.Bypass, facts.MTUs = names, open, tunnel.RouteMTUs(c, have)
	return tunnel.Diff(have, tunnel.Want(c, facts), time.Now()), nil
}
