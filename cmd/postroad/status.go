package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postroad/cmd/postroad/show"
	"postroad/tunnel"
	"postroad/tunnel/control"
)

const statusLong = `Show whether mail with the peers is protected: in a sentence, and peer by peer. With a PEER, show all
there is to know about that one.

STATE says what happens to SMTP with the peer:
  protected  it flows through the tunnel
  idle       it would: nothing was sent for three minutes
  waiting    it waits: the peer has never answered
  blocked    it waits, for the reason given
  clear      nothing stops it from flowing in clear; the reason says whether the peer's policy, prefer or latch, lets it
SINCE and HANDSHAKE are how long ago: m minutes, h hours, d days. SMTP is how many connections there are now.
REFUSED counts packets of clear SMTP that were not let out or in. IN CLEAR, if there is any, is how long the peer was in
the state clear since the daemon started.

Below the peers there is a line for each MX host of the peers' domains that is no peer: mail for the domain can go
there in clear; and for each domain of which DNS does not say where its mail goes. They do not count for the exit status.

The exit status is 0 if it flows, or would, through the tunnel with every peer (or with PEER), the peers file on
disk is in force and nothing else is amiss; 1 if not, or if no daemon answers; 2 if there is no such PEER.

--json prints one object. Fields are added, but keep their names and meanings:
` + jsonHelp

const jsonHelp = `  running      bool; whether a daemon answered. If not, there are only well (false) and error, a text
  well         bool; what the exit status says
  summary      the sentence, for people
  host         this host's name;  public_key  its WireGuard key, base64;  listen_port  its UDP port
  link         name of the interface;  backend  kernel or userspace (empty: there is no link)
  file         {in_force: bool, loaded: time at which the file in force was read,
               errors: list of what is wrong with the one on disk; absent: nothing}
  problem      why the last repair failed; absent: it did not
  smtp_connections_error  why connections could not be counted (smtp_connections is 0 then); absent: they were
  peers        list, in the order of the file (only PEER, if one is given):
    name, public_key, policy (require, prefer or latch), addresses (list of IP addresses)
    names      DNS names whose addresses are among them; absent: none
    dns        list of what is odd about those names: kind (name-unresolved, name-failing, address-left, address-taken,
               address-refused or address-excess), words; absent: nothing
    state      protected, idle, waiting, blocked or clear;  reason  why not protected; absent: it is
    clear_by_policy  bool; the state is clear, and the policy says so;  clear_seconds  number; spent in the state clear
               since the daemon started
    latched    bool; the policy is latch and the peer has answered once: it is treated as with require
    since      time since which the state holds; absent: not known
    last_handshake  time; absent: never;  endpoint  IP address and UDP port; absent: not known
    received_bytes, sent_bytes  through the tunnel, WireGuard's own packets included, since the link was made
    refused_in_packets, refused_out_packets  of clear SMTP, since the guard was made
    smtp_connections  TCP connections established now between this host and the peer with one of the host's
               ports on either side; those of containers are not seen
    mtu        bytes of the largest packet in the tunnel to the peer, IP header included; absent: there is no way to it
    mtu_measured  when that size was last seen to get through; absent: it was not, as it is set in the peers file,
               or the peer has not answered yet;  mtu_silent  bool; the peer does not answer: 1200 always fits
  domains      list, in the order of the file, of the peers' domains (with PEER, of its own); absent: they have none:
    domain     its name;  peers  list of the names of those that say to take its mail
    unprotected_mx  list of the MX hosts to which its mail can go in clear, the preferred ones first: host, preference,
               addresses (those of it that are no peer's), first (bool; whether mail normally goes there)
    not_looked_at   what it has more than is looked at, a text; absent: nothing
    looked_up  time at which DNS last said all of it; absent: never
    failing_since, error  since when DNS does not, and why, what was known being kept; absent: it does
Times are RFC 3339. Counters begin at 0 again when link or guard is made anew.`

func statusCommand(o *options) *cobra.Command {
	asJSON, colour := false, ""
	cmd := &cobra.Command{
		Use:               "status [PEER]",
		Short:             "Show whether mail with the peers is protected",
		Long:              statusLong,
		Example:           "  postroad status\n  postroad status mx.partner.example\n  postroad status --json | jq -r '.peers[] | select(.state != \"protected\") | .name'",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completePeers(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			screen, err := show.ScreenOf(cmd.OutOrStdout(), colour, os.Getenv)
			if err != nil {
				return err
			}
			s, err := control.Client{Socket: o.socket}.Status(cmd.Context())
			if err != nil {
				return o.noStatus(cmd, err, asJSON)
			}
			if err := only(&s, args); err != nil {
				return err
			}
			if err := printStatus(cmd.OutOrStdout(), &s, len(args) > 0, asJSON, screen); err != nil {
				return failed(fmt.Errorf("printing the status: %w", err))
			}
			if !s.Well() {
				return exitError{code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&colour, "color", "auto", "use colours: `when` is auto (on a terminal), always or never")
	return cmd
}

// only leaves nothing in s but the peer that args name, and its domains; without
// args, everything.
func only(s *tunnel.Status, args []string) error {
	if len(args) == 0 {
		return nil
	}
	i := slices.IndexFunc(s.Peers, func(p tunnel.PeerStatus) bool { return strings.EqualFold(p.Name, args[0]) })
	if i < 0 {
		return fmt.Errorf("there is no peer %q in the peers file in force; `postroad status` lists them", args[0])
	}
	name := s.Peers[i].Name
	s.Peers = s.Peers[i : i+1]
	s.Domains = slices.DeleteFunc(s.Domains, func(d tunnel.DomainStatus) bool { return !slices.Contains(d.Peers, name) })
	return nil
}

func printStatus(w io.Writer, s *tunnel.Status, one, asJSON bool, screen show.Screen) error {
	switch {
	case asJSON && one:
		return printJSON(w, report{Running: true, Well: s.Well(), Summary: show.PeerWords(s, s.Peers[0]), Status: s})
	case asJSON:
		return printJSON(w, report{Running: true, Well: s.Well(), Summary: s.Summary(), Status: s})
	case one:
		return show.Peer(w, s, time.Now(), screen)
	}
	return show.Status(w, s, time.Now(), screen)
}

// A report is what --json prints. It is stable, and documented in jsonHelp.
type report struct {
	Running bool   `json:"running"`
	Well    bool   `json:"well"`
	Summary string `json:"summary,omitempty"`
	Error   string `json:"error,omitempty"` // why no daemon answered
	*tunnel.Status
}

func printJSON(w io.Writer, r report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// noStatus says why there is none, in JSON too where that was asked for.
func (o *options) noStatus(cmd *cobra.Command, err error, asJSON bool) error {
	end := failed(err)
	if errors.Is(err, control.ErrNotRunning) {
		end = o.notRunning(cmd, o.hint(err))
	}
	if asJSON {
		if err := printJSON(cmd.OutOrStdout(), report{Error: end.Error()}); err != nil {
			return failed(fmt.Errorf("printing the status: %w", err))
		}
	}
	if r := (*control.RefusedError)(nil); errors.As(err, &r) {
		return refused(cmd.ErrOrStderr(), err)
	}
	return end
}
