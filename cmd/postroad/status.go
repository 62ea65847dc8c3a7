package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/control"
	"postroad/tunnel/linux"
)

func statusCommand(o *options) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether mail with the peers is protected",
		Long: "Show whether mail with the peers is protected. The section PEER STATES of postroad(1) explains the states.\n" +
			"The exit status is 0 if mail flows, or would, through the tunnel with every peer and the peers file on disk is\n" +
			"in force, and 1 otherwise.",
		Example: "  sudo postroad status\n" +
			"  sudo postroad status --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := control.Client{Socket: o.socket}.Status(cmd.Context())
			if errors.Is(err, control.ErrNotRunning) {
				return o.notRunning(cmd, o.hint(err))
			}
			if err != nil {
				return refused(cmd.ErrOrStderr(), err)
			}
			print := printStatus
			if asJSON {
				print = printJSON
			}
			if err := print(cmd.OutOrStdout(), s); err != nil {
				return failed(err)
			}
			if !s.Well() {
				return exitError{code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// notRunning adds what can be seen in the kernel without the daemon.
func (o *options) notRunning(cmd *cobra.Command, err error) error {
	if !linux.Privileged() {
		return failed(err)
	}
	have, _, seeErr := linux.NewReader(slog.New(slog.DiscardHandler)).Observe(cmd.Context(), tunnel.Query{Link: o.linkName()})
	c, fileErr := peers.Load(o.file)
	switch {
	case seeErr != nil:
		return failed(errors.Join(err, seeErr))
	case fileErr != nil && len(closedTo(have)) == 0:
		return failed(fmt.Errorf("%w; nothing of it stands in the kernel: SMTP with peers flows IN CLEAR", err))
	case fileErr != nil:
		return failed(fmt.Errorf("%w; what it put in place for %d addresses stands, and the peers file is broken: postroad check", err, len(closedTo(have))))
	}
	for _, p := range c.Peers {
		for _, a := range p.Addresses {
			if !tunnel.Closed(have, a, c.Host.Ports) {
				return failed(fmt.Errorf("%w; SMTP with %s (%s) can flow IN CLEAR", err, p.Name, a))
			}
		}
	}
	what := "waits"
	if have.Link.Backend == peers.Kernel && have.Link.Up {
		what = "goes on through the kernel's WireGuard"
	}
	return failed(fmt.Errorf("%w; the protection stands: SMTP with %d addresses of peers %s", err, len(closedTo(have)), what))
}

// closedTo returns the addresses that something of ours stands for.
func closedTo(s tunnel.State) []netip.Addr {
	all := slices.Clone(s.Guard.Peers)
	for _, r := range s.Routes {
		all = append(all, r.Dst)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

func printJSON(w io.Writer, s tunnel.Status) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

func printStatus(w io.Writer, s tunnel.Status) error {
	fmt.Fprintln(w, s.Summary())
	fmt.Fprintf(w, "host %s, public key %s, UDP port %d, link %s (%s)\n", s.Host, s.PublicKey, s.ListenPort, s.Link, s.Backend)
	if !s.File.InForce {
		fmt.Fprintf(w, "the peers file on disk is NOT in force; that of %s is:\n", s.File.Loaded.Format(time.DateTime))
		for _, e := range s.File.Errors {
			fmt.Fprintf(w, "  %s\n", e)
		}
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PEER\tSTATE\tSINCE\tHANDSHAKE\tENDPOINT\tSENT\tRECEIVED\tREFUSED OUT/IN\tREASON")
	for _, p := range s.Peers {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d/%d\t%s\n", p.Name, p.State, ago(p.Since), ago(p.LastHandshake), known(p),
			size(p.Sent), size(p.Received), p.RefusedOut, p.RefusedIn, p.Reason)
	}
	return t.Flush()
}

func known(p tunnel.PeerStatus) string {
	if !p.Endpoint.IsValid() {
		return "-"
	}
	return p.Endpoint.String()
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return time.Since(t).Round(time.Second).String() + " ago"
}

// size gives bytes to three digits in binary units.
func size(n int64) string {
	f, unit := float64(n), 0
	for f >= 1000 && unit < 4 {
		f, unit = f/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.3g %ciB", f, "KMGT"[unit-1])
}
