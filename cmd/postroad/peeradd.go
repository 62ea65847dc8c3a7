package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postroad/peers"
)

func peerAddCommand(o *options) *cobra.Command {
	var ch change
	cmd := &cobra.Command{
		Use:   "add [FILE]",
		Short: "Add the peer of a card to the peers file",
		Long: "Read a card, which is what `postroad card` prints on the other host, from a file or from standard input:\n" +
			"a pasted or piped mail with a card in it will do. Compare the card with DNS, show what is found, and add\n" +
			"the peer to the peers file. What DNS says are hints: they do not keep the peer from being added.",
		Example: "  postroad peer add --apply              (then paste the card)\n" +
			"  postroad peer add --apply partner.card\n" +
			"  postroad peer add --dry-run < mail.txt",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readCard(cmd, args)
			if err != nil {
				return err
			}
			return o.addPeer(cmd, p, ch)
		},
	}
	ch.flags(cmd)
	return cmd
}

// readCard reads the card that the user gives.
func readCard(cmd *cobra.Command, args []string) (p peers.Peer, err error) {
	name, in := "card", cmd.InOrStdin()
	if len(args) > 0 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return p, failed(fmt.Errorf("reading the card: %w", err))
		}
		defer f.Close()
		name, in = args[0], f
	} else if isTerminal(in) {
		fmt.Fprintln(cmd.ErrOrStderr(), "Paste the card, then press Enter and Ctrl-D:")
	}
	text, err := io.ReadAll(io.LimitReader(in, peers.MaxCardSize+1))
	if err != nil {
		return p, failed(fmt.Errorf("reading the card: %w", err))
	}
	p, err = peers.ParseCard(name, text)
	return p, misconfigured(err)
}

// addPeer shows what is known of a peer and adds it.
func (o *options) addPeer(cmd *cobra.Command, p peers.Peer, ch change) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	c, err := o.load()
	if err != nil {
		return err
	}
	if _, err := o.tryAdding(p); err != nil {
		return o.notAdded(cmd, p, ch, err)
	}
	showPeer(out, p)
	resolved, _ := o.resolve(ctx, c)
	remark(ctx, out, resolved, p)
	if ch.dryRun {
		added, err := o.tryAdding(p)
		if err != nil {
			return failed(err)
		}
		fmt.Fprintf(out, "\n%s would get these lines:\n", o.file)
		showLines(out, "+", strings.Split(strings.TrimSpace(added.Lines), "\n"), added.Line)
		return nil
	}
	var added peers.Change
	err = peers.Update(ctx, o.file, func(data []byte) (_ []byte, err error) {
		added, err = peers.Add(o.file, data, peers.SystemHere(), p)
		return added.Text, err
	})
	if err != nil {
		return o.notAdded(cmd, p, ch, err)
	}
	fmt.Fprintf(out, "\nadded to %s, from line %d on\n", o.file, added.Line)
	tellFingerprint(out, c, p)
	return ch.follow(ctx, cmd, o)
}

// tryAdding says what adding a peer would change.
func (o *options) tryAdding(p peers.Peer) (peers.Change, error) {
	data, err := os.ReadFile(o.file)
	if err != nil {
		return peers.Change{}, err
	}
	return peers.Add(o.file, data, peers.SystemHere(), p)
}

// notAdded says why a peer was not added, which may be that it is there.
func (o *options) notAdded(cmd *cobra.Command, p peers.Peer, ch change, err error) error {
	if !errors.Is(err, peers.ErrAlready) {
		if len(peers.Problems(err)) > 0 {
			return misconfigured(err)
		}
		return failed(withSudo(err))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is in %s already, with the same key and addresses: nothing to change\n", p.Name, o.file)
	if ch.dryRun {
		return nil
	}
	return ch.follow(cmd.Context(), cmd, o)
}

// showPeer shows what a card says.
func showPeer(out io.Writer, p peers.Peer) {
	row(out, "peer", "%s", p.Name)
	row(out, "public key", "%s", p.PublicKey)
	row(out, "addresses", "%s", joined(p.Mail()))
	row(out, "tunnel", "%s", where(p))
	row(out, "domains", "%s", joined(p.Domains))
}

// where says where a peer's tunnel is.
func where(p peers.Peer) string {
	if p.Endpoint == (peers.Endpoint{}) {
		return fmt.Sprintf("its addresses, UDP port %d", peers.DefaultListenPort)
	}
	return p.Endpoint.String()
}

// remark shows what DNS has against a peer.
func remark(ctx context.Context, out io.Writer, c *peers.Config, p peers.Peer) {
	ctx, cancel := context.WithTimeout(ctx, dnsPatience)
	defer cancel()
	remarks := peers.Examine(ctx, resolver, p, protectedAddresses(c))
	for _, r := range remarks {
		row(out, "DNS", "WARNING: %s", r.Words)
	}
	if len(remarks) == 0 {
		row(out, "DNS", "agrees: %s", agreement(p))
	}
}

func agreement(p peers.Peer) string {
	s := "the name has none but these addresses"
	if len(p.Domains) > 0 {
		s += ", and all mail for " + joined(p.Domains) + " goes to peers"
	}
	return s
}

// protectedAddresses are those to which no clear SMTP goes over the wire, of a
// config whose names are resolved.
func protectedAddresses(c *peers.Config) []netip.Addr {
	all := c.Selectors(nil).Addresses
	own, err := addressesOf(c.Host)
	if err != nil {
		return all // the worst is a warning too many
	}
	return append(all, own...)
}

func tellFingerprint(out io.Writer, c *peers.Config, p peers.Peer) {
	fmt.Fprintf(out, "\nCompare these digits with the other operator over the telephone (postroad fingerprint %s):\n\n  %s\n\n", c.Host.Name, fingerprint(c, p))
}
