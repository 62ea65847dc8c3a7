package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"postroad/peers"
)

func cardCommand(o *options) *cobra.Command {
	var endpoint string
	var domains []string
	qr := false
	cmd := &cobra.Command{
		Use:   "card",
		Short: "Print what to send to the operator of another mail host",
		Long: "Print this host's card: what the operator of another mail host needs to make it a peer. There are no\n" +
			"secrets on it, but who changes it on its way could read your mail: compare `postroad fingerprint`\n" +
			"over the telephone. The tunnel is at the card's first address that can be reached, UDP port 51825,\n" +
			"unless an endpoint is given or listen_port is another.",
		Example: "  postroad card | mail -s \"our postroad card\" postmaster@partner.example\n" +
			"  postroad card --endpoint mx1.example.org:51825 --domain example.org\n" +
			"  postroad card --qr",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			p, err := cardOf(c.Host, endpoint, domains)
			if err != nil {
				return err
			}
			for _, note := range oddities(p.Name, p.Addresses) {
				fmt.Fprintln(cmd.ErrOrStderr(), "postroad: note:", note)
			}
			if qr {
				return failed(printQR(cmd.OutOrStdout(), p.Block()))
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), peers.Card(p))
			return failed(err)
		},
	}
	cmd.Flags().BoolVar(&qr, "qr", false, "print a QR code of the card without its comments")
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "where the peer reaches this host's tunnel, `host:port`")
	cmd.Flags().StringArrayVar(&domains, "domain", nil, "a `domain` whose mail this host takes; once for each (default: those of the peers file)")
	return cmd
}

// cardOf returns this host as its peers shall see it.
func cardOf(h peers.Host, endpoint string, domains []string) (p peers.Peer, err error) {
	p = peers.Peer{Name: h.Name, PublicKey: h.PrivateKey.Public(), Domains: h.Domains, Policy: peers.Require}
	if p.Addresses, err = addressesOf(h); err != nil {
		return p, failed(err)
	}
	if len(domains) > 0 {
		p.Domains = domains
	}
	switch {
	case endpoint != "":
		p.Endpoint, err = peers.ParseEndpoint(endpoint)
	case h.ListenPort != peers.DefaultListenPort:
		p.Endpoint = endpointOf(p.Addresses[0], h.ListenPort)
	}
	if err != nil {
		return p, misconfigured(err)
	}
	p, err = peers.ParseCard("card", []byte(p.Block())) // as the peer will
	return p, misconfigured(err)
}

func endpointOf(a netip.Addr, port uint16) peers.Endpoint {
	return peers.Endpoint{Host: a.String(), Port: port}
}
