package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"postroad/peers"
)

func fingerprintCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "fingerprint [PEER]",
		Short: "Print what to compare with a peer's operator over the telephone",
		Long: "Print 30 digits for each peer, or for one. They are of this host's key and the peer's, and the same on\n" +
			"both sides if each has the other's true key. If they differ, somebody may have changed a card on its\n" +
			"way: take the peer out, and exchange the cards in another way.",
		Example: "  postroad fingerprint\n  postroad fingerprint mx.partner.example",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			all := c.Peers
			if len(args) > 0 {
				p, err := c.Peer(args[0])
				if err != nil {
					return failed(err)
				}
				all = []peers.Peer{p}
			}
			for _, p := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", fingerprint(c, p), p.Name)
			}
			return nil
		},
	}
}

func fingerprint(c *peers.Config, p peers.Peer) string {
	return peers.Fingerprint(c.Host.PrivateKey.Public(), p.PublicKey)
}
