package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"postroad/peers"
)

func checkCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the peers file and the key files it names",
		Long: "Check the peers file and the key files it names. All that is wrong is said at once, with line and key, and\n" +
			"what would be right. Nothing is changed. The exit status is 2 if anything is wrong.",
		Example: "  sudo postroad check\n" +
			"  sudo postroad check -c ./postroad.toml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := peers.LoadHere(o.file)
			if err != nil {
				return misconfigured(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: fine: host %s, %d peers, public key %s\n",
				o.file, c.Host.Name, len(c.Peers), c.Host.PrivateKey.Public())
			return nil
		},
	}
}
