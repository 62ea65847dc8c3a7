package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"postroad/cmd/postroad/show"
	"postroad/cmd/postroad/top"
	"postroad/tunnel/control"
)

// fastest is as often as top may ask: each time the daemon looks at the system.
const fastest = 100 * time.Millisecond

func topCommand(o *options) *cobra.Command {
	interval := time.Second
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the traffic with the peers",
		Long: `Watch the traffic with the peers: a row for each, with its state, what goes out and comes in each second, a
sparkline of the last minute scaled for each peer, SMTP connections, the age of the last handshake and the
packets of clear SMTP that were refused. Where the terminal is narrow the less important is left out.

Keys: arrows, j and k, page up and down, g and G move; s sorts by state, traffic, name or as in the file; q quits.
While the daemon does not answer, top says so and goes on trying.`,
		Example: "  postroad top\n  postroad top --interval 5s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < fastest {
				return fmt.Errorf("--interval %s: give %s or more", interval, fastest)
			}
			if !show.Terminal(cmd.InOrStdin()) || !show.Terminal(cmd.OutOrStdout()) || os.Getenv("TERM") == "dumb" {
				return errors.New("top needs a terminal to read keys from and to draw on; elsewhere use `postroad status`, and for programs `postroad status --json`")
			}
			screen, err := show.ScreenOf(cmd.OutOrStdout(), "auto", os.Getenv)
			if err != nil {
				return err
			}
			ask := func() top.Sample {
				s, err := control.Client{Socket: o.socket}.Status(cmd.Context())
				return top.Sample{Status: s, Err: err, At: time.Now()}
			}
			return failed(top.Run(cmd.Context(), top.Model{Ask: ask, Interval: interval, Screen: screen}, cmd.InOrStdin(), cmd.OutOrStdout()))
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", interval, "ask the daemon every `duration`")
	return cmd
}
