package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postroad/peers"
)

func peerRemoveCommand(o *options) *cobra.Command {
	var ch change
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a peer out of the peers file: mail with it then flows in clear",
		Long: "Take a peer out of the peers file, with the comments that stand directly above it. From the next reload\n" +
			"on, or at once with --apply, mail with it flows in clear.",
		Example: "  postroad peer remove mx.partner.example\n  postroad peer remove --apply mx.partner.example",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.removePeer(cmd, args[0], ch)
		},
	}
	ch.flags(cmd)
	return cmd
}

// removePeer takes a peer out of the file.
func (o *options) removePeer(cmd *cobra.Command, name string, ch change) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	var gone peers.Change
	remove := func(data []byte) (_ []byte, err error) {
		gone, err = peers.Remove(o.file, data, peers.System(), name)
		return gone.Text, err
	}
	var err error
	did := "removed from"
	if ch.dryRun {
		did = "would be removed from"
		err = o.try(remove)
	} else {
		err = peers.Update(ctx, o.file, remove)
	}
	if err != nil && len(peers.Problems(err)) > 0 {
		return misconfigured(err)
	}
	if err != nil {
		return failed(withSudo(err))
	}
	fmt.Fprintf(out, "%s %s:\n", did, o.file)
	showLines(out, "-", strings.Split(strings.TrimRight(gone.Lines, "\r\n"), "\n"), gone.Line)
	fmt.Fprintf(out, "mail with %s flows IN CLEAR from the reload on\n", name)
	if ch.dryRun {
		return nil
	}
	return ch.follow(ctx, cmd, o)
}

// try does to the file's content what an update would.
func (o *options) try(change func([]byte) ([]byte, error)) error {
	data, err := os.ReadFile(o.file)
	if err == nil {
		_, err = change(data)
	}
	return err
}
