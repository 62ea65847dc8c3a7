package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/control"
	"postroad/tunnel/linux"
)

func downCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take the protection away: SMTP with peers flows in clear from then on",
		Long: "Take the protection away and end the daemon if it runs. Everything of postroad's is removed from the\n" +
			"kernel, and SMTP with the peers flows IN CLEAR from then on: their addresses are listed. `postroad run`, or\n" +
			"`systemctl start postroad`, brings the protection back, and so does a reboot where the service is enabled.",
		Example: "  sudo postroad down",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needPrivilege("postroad down"); err != nil {
				return err
			}
			link := o.linkName()
			have, _, err := linux.NewReader(slog.New(slog.DiscardHandler)).Observe(cmd.Context(), tunnel.Query{Link: link})
			if err != nil {
				return failed(err)
			}
			if err := o.down(cmd.Context(), link); err != nil {
				return refused(cmd.ErrOrStderr(), err)
			}
			if len(closedTo(have)) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing was protected")
				return nil
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the protection is gone; from now on SMTP flows IN CLEAR with:")
			for _, a := range closedTo(have) {
				fmt.Fprintf(cmd.OutOrStdout(), "  %s\n", a)
			}
			return nil
		},
	}
}

// down asks the daemon to do it, which would otherwise repair what we take
// away; where none runs we do it ourselves.
func (o *options) down(ctx context.Context, link string) error {
	err := control.Client{Socket: o.socket}.Down(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		err = tunnel.TakeDown(ctx, linux.NewReader(slog.New(slog.DiscardHandler)), link)
	}
	if err != nil {
		return err
	}
	if err := os.Remove(o.selectors); !errors.Is(err, fs.ErrNotExist) { // so that no failing start closes it again
		return err
	}
	return nil
}

// linkName is what the file says, or the default where the file says nothing
// sound: taking down must not depend on it.
func (o *options) linkName() string {
	if c, err := peers.Load(o.file); err == nil {
		return c.Host.Link
	}
	return peers.DefaultLink
}
