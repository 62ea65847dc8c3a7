package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"postroad/peers"
)

// A listed peer is what `peer list --json` says of one.
type listed struct {
	Name        string          `json:"name"`
	PublicKey   peers.PublicKey `json:"public_key"`
	Addresses   []netip.Addr    `json:"addresses"` // those that the file gives
	Names       []string        `json:"names"`     // DNS names that stand for more
	Endpoint    string          `json:"endpoint"`  // empty: the first of the addresses that can be reached
	Domains     []string        `json:"domains"`
	Fingerprint string          `json:"fingerprint"`
}

func peerListCommand(o *options) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the peers of the peers file",
		Long:    "List the peers of the peers file, in its order. How mail with them fares, `postroad status` tells.",
		Example: "  postroad peer list\n  postroad peer list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			if asJSON {
				return failed(encode(cmd.OutOrStdout(), list(c)))
			}
			return failed(printPeers(cmd.OutOrStdout(), list(c)))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: an array of objects")
	return cmd
}

// mail writes the addresses and names of a peer.
func (p listed) mail() string {
	return joined(peers.Peer{Addresses: p.Addresses, Names: p.Names}.Mail())
}

func list(c *peers.Config) []listed {
	all := []listed{} // not null in JSON
	for _, p := range c.Peers {
		all = append(all, listed{p.Name, p.PublicKey, append([]netip.Addr{}, p.Addresses...), append([]string{}, p.Names...), p.Endpoint.String(), append([]string{}, p.Domains...), fingerprint(c, p)})
	}
	return all
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printPeers(w io.Writer, all []listed) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "there are no peers yet: postroad peer add")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PEER\tADDRESSES\tENDPOINT\tFINGERPRINT")
	for _, p := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Name, p.mail(), orDash(p.Endpoint), p.Fingerprint)
	}
	return t.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
