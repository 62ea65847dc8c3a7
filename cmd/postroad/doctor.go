package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"postroad/cmd/postroad/show"
	"postroad/peers"
	"postroad/tunnel/control"
	"postroad/tunnel/doctor"
	"postroad/tunnel/linux"
)

func doctorCommand(o *options) *cobra.Command {
	var list, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [PEER]...",
		Short: "Find out what is wrong, and say what to do about it",
		Long: "Find out what keeps mail with the peers, or with those that are named, from being protected, and say what to do\n" +
			"about it, the likeliest cause first. It looks at this host, listens on the wire for what the peers' tunnels say,\n" +
			"and gives a live proof: an SMTP session with each peer (EHLO, a long NOOP, QUIT: no mail) while it counts the packets on the\n" +
			"wire, encrypted and in clear, and a packet sent past the tunnel, which must be stopped. Where this host's firewall is in\n" +
			"the way it names the command that opens ufw, firewalld, nftables.service or iptables for it. It takes a second where\n" +
			"all is well, and seven to thirty where a peer does not answer. Run on both hosts at once it sees most.\n\n" +
			"It needs root. While it runs there is an nft table inet postroad-doctor, which counts and decides nothing. The exit\n" +
			"status is 0 if nothing is wrong, 1 if something is.\n\n" +
			"--json prints one object. Fields are added, but keep their names and meanings:\n" +
			"  well      bool; nothing is wrong, notes aside\n" +
			"  findings  list, the likeliest cause first: check (its name), severity (problem, warning or note), peer (absent: the\n" +
			"            host's own), what (is wrong, and how that is known), do (about it; absent: nothing is known)\n" +
			"  proofs    list, one for each address of the peers: peer, address, greeting (the mail server's first line; absent:\n" +
			"            none), error (why there was no session; absent: there was), encrypted_packets and clear_packets\n" +
			"            (on the wire meanwhile, both ways), stopped_past_tunnel (bool), stopped_by (what the sender is told)\n" +
			"Counts of a peer that is called for the first time are those of all its addresses together.",
		Example:           "  sudo postroad doctor\n  sudo postroad doctor mx.partner.example\n  sudo postroad doctor --json | jq '.findings[0]'\n  postroad doctor --list",
		ValidArgsFunction: completePeers(o),
		RunE: func(cmd *cobra.Command, names []string) error {
			if list {
				return failed(listChecks(cmd.OutOrStdout()))
			}
			if os.Geteuid() != 0 {
				return failed(fmt.Errorf("postroad doctor needs root: it listens on the wire and reads the key file; try sudo"))
			}
			return o.examine(cmd, names, asJSON)
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list the checks, and do none")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func listChecks(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range doctor.Checks() {
		fmt.Fprintf(t, "%s\t%s\n", c.Name, c.About)
	}
	return t.Flush()
}

func (o *options) examine(cmd *cobra.Command, names []string, asJSON bool) error {
	e, endpoints := o.evidence(cmd.Context())
	if err := unknown(e.Config, names); err != nil {
		return misconfigured(err)
	}
	x := linux.Examiner{Names: names, Lookup: endpoints, Remarks: remarks(e.Config), Bypass: o.bypass(e)}
	if err := x.Examine(cmd.Context(), e); err != nil {
		return failed(fmt.Errorf("looking at the wire: %w", err))
	}
	r := doctor.NewReport(e)
	print := printReport
	if asJSON {
		print = printReportJSON
	}
	if err := print(cmd.OutOrStdout(), r); err != nil {
		return failed(err)
	}
	if !r.Well {
		return exitError{code: exitFailed}
	}
	return nil
}

// evidence is what file and daemon say, and where endpoints are.
func (o *options) evidence(ctx context.Context) (e *doctor.Evidence, endpoints map[string][]netip.Addr) {
	e = &doctor.Evidence{Now: time.Now(), File: o.file}
	e.Config, e.FileError = peers.LoadHere(o.file)
	if e.FileError != nil {
		e.Config = nil
	} else {
		e.Missing = linux.Missing(e.Config)
		e.Config, endpoints = o.resolve(ctx, e.Config)
	}
	s, err := control.Client{Socket: o.socket}.Status(ctx)
	if err != nil {
		e.DaemonError = err
	} else {
		e.Daemon = &s
	}
	return e, endpoints
}

// bypass returns the peers whose SMTP flows in clear by policy: as the daemon says,
// or else as it has remembered.
func (o *options) bypass(e *doctor.Evidence) map[peers.PublicKey]bool {
	switch {
	case e.Config == nil:
		return nil
	case e.Daemon == nil:
		return o.open(e.Config)
	}
	open := map[peers.PublicKey]bool{}
	for _, p := range e.Daemon.Peers {
		open[p.PublicKey] = p.ByPolicy
	}
	return open
}

func unknown(c *peers.Config, names []string) error {
	for _, n := range names {
		if c != nil && !slices.ContainsFunc(c.Peers, func(p peers.Peer) bool { return p.Name == n }) {
			return fmt.Errorf("the peers file has no peer %q: `postroad status` lists them", n)
		}
	}
	return nil
}

func printReportJSON(w io.Writer, r doctor.Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func printReport(w io.Writer, r doctor.Report) error {
	fmt.Fprintln(w, verdict(r))
	for i, f := range r.Findings {
		fmt.Fprintf(w, "\n%d. %s\n", i+1, heading(f))
		if f.Do != "" {
			fmt.Fprintf(w, "   -> %s\n", f.Do)
		}
	}
	if len(r.Proofs) > 0 {
		fmt.Fprintln(w, "\nLive proof, with the wire watched:")
	}
	for _, p := range r.Proofs {
		fmt.Fprintf(w, "   %s\n", show.Clean(p.String())) // a mail server's own words are in it
	}
	return nil
}

func heading(f doctor.Finding) string {
	who := ""
	if f.Peer != "" {
		who = f.Peer + ": "
	}
	return fmt.Sprintf("%s: %s%s [%s]", f.Severity, who, show.Clean(f.What), f.Check)
}

func verdict(r doctor.Report) string {
	problems, warnings := 0, 0
	for _, f := range r.Findings {
		switch f.Severity {
		case doctor.Problem:
			problems++
		case doctor.Warning:
			warnings++
		}
	}
	switch {
	case r.Well && len(r.Proofs) == 0:
		return "Nothing is wrong, and nobody to speak with: there are no peers. `postroad peer add` adds one."
	case r.Well:
		return "All is well: SMTP with the peers works, and only inside the tunnel."
	}
	return fmt.Sprintf("Not all is well: %s, %s; the likeliest cause first.", counted(problems, "problem"), counted(warnings, "warning"))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// remarks asks DNS about a peer of c.
func remarks(c *peers.Config) func(context.Context, peers.Peer) []peers.Remark {
	return func(ctx context.Context, p peers.Peer) []peers.Remark {
		ctx, cancel := context.WithTimeout(ctx, dnsPatience)
		defer cancel()
		return peers.Examine(ctx, resolver, p, protectedAddresses(c))
	}
}
