package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postroad/peers"
	"postroad/tunnel"
)

var hostChecks = []Check{
	{"peers-file", "The peers file and the key files it names are sound, and in force.", peersFile},
	{"kernel", "The kernel has nf_tables, policy routing, and WireGuard or TUN.", kernel},
	{"daemon", "The daemon runs, answers, and has no problem.", daemon},
	{"key-in-force", "The daemon uses the key of the key file.", keyInForce},
	{"udp-port", "The UDP port is open, and by our device.", udpPort},
	{"link", "The link is there, ours, and up.", link},
	{"policy", "No policy lets SMTP flow in clear.", eachPeer(policy)},
	{"guard", "The guard stands as this program makes it.", guard},
	{"steering", "Rules and routes stand as the peers file wants them.", steering},
	{"reverse-path", "The link's reverse path filter lets replies in.", reversePath},
	{"own-addresses", "This host's mail addresses are its own.", ownAddresses},
	{"mta-source", "Mail servers speak from addresses that the peers know.", mtaSource},
	{"clock", "The clock has not gone backwards.", clock},
}

// peersFile tells what the file on disk has, as root and as the daemon see it.
func peersFile(e *Evidence) []Finding {
	const mend = "mend it, see that `postroad check` is content, then `postroad reload`"
	if e.FileError != nil {
		return lines(e.FileError, 100, mend)
	}
	switch {
	case e.Daemon == nil:
		return nil
	case e.Daemon.File.InForce && !sameFile(e.Config.Peers, e.Daemon.Peers):
		return found(Problem, 100, "the daemon has other peers in force than "+e.File+" has now", "`postroad check`, then `postroad reload`")
	case e.Daemon.File.InForce:
		return nil
	}
	if len(e.Daemon.File.Errors) == 0 {
		return found(Problem, 96, e.File+" is not in force", "`postroad reload`")
	}
	var all []Finding
	for _, words := range e.Daemon.File.Errors {
		all = append(all, found(Problem, 96, "the daemon has refused the file: "+words, mend)...)
	}
	return all
}

// sameFile says whether the daemon's peers are the file's, as far as its status
// tells.
func sameFile(file []peers.Peer, daemon []tunnel.PeerStatus) bool {
	return slices.EqualFunc(file, daemon, func(p peers.Peer, s tunnel.PeerStatus) bool {
		return p.Name == s.Name && p.PublicKey == s.PublicKey && slices.Equal(p.Names, s.Names) &&
			(len(p.Names) > 0 || slices.Equal(p.Addresses, s.Addresses)) // DNS may have changed meanwhile
	})
}

func kernel(e *Evidence) []Finding { return lines(e.Missing, 99, "") }

func daemon(e *Evidence) []Finding {
	switch {
	case e.Daemon == nil && e.FileError == nil && e.Missing == nil:
		return found(Problem, 98, e.DaemonError.Error(),
			"`systemctl start postroad`; why it ended: `journalctl -u postroad -n 50`")
	case e.Daemon == nil:
		return found(Problem, 60, e.DaemonError.Error(), "mend what is said above first, then `systemctl start postroad`")
	case e.Daemon.Problem != "":
		return found(Problem, 85, "the daemon says: "+strings.ReplaceAll(e.Daemon.Problem, "\n", "; "), "")
	}
	return nil
}

func keyInForce(e *Evidence) []Finding {
	if e.FileError != nil || e.Config == nil || e.Daemon == nil || e.Daemon.PublicKey == e.Config.Host.PrivateKey.Public() {
		return nil
	}
	return found(Problem, 97, fmt.Sprintf("the daemon uses another key (%s) than that of the key file (%s): which do the peers have?",
		e.Daemon.PublicKey, e.Config.Host.PrivateKey.Public()),
		"`systemctl restart postroad` takes the file's; if the file was changed by mistake, put the old one back")
}

func udpPort(e *Evidence) []Finding {
	port := e.Want.Device.ListenPort
	switch {
	case e.Config == nil || port == 0 || e.Have.Device.ListenPort == port:
		return nil
	case e.Host.PortOwner != "":
		return found(Problem, 95, fmt.Sprintf("UDP port %d is in use by %s", port, e.Host.PortOwner),
			"end that program, or give host.listen_port another port and tell the peers, whose endpoint for us has it")
	case e.Daemon != nil:
		return found(Problem, 80, fmt.Sprintf("UDP port %d is not open", port), "`postroad status` may say why; `systemctl restart postroad`")
	}
	return nil
}

func link(e *Evidence) []Finding {
	l := e.Have.Link
	switch {
	case e.Config == nil || e.LookError != nil || e.Daemon == nil:
		return nil // others' findings
	case l.Foreign:
		return found(Problem, 94, fmt.Sprintf("a link named %s exists, and is not ours", e.Want.Link.Name),
			fmt.Sprintf("see what made it (`ip -d link show %s`) and remove it, or choose another name with host.link", e.Want.Link.Name))
	case l.Name == "":
		return found(Problem, 84, fmt.Sprintf("the link %s is not there", e.Want.Link.Name), "`postroad status` says why; `journalctl -u postroad -n 50`")
	case !l.Up:
		return found(Problem, 83, fmt.Sprintf("the link %s is down", l.Name), "something takes it down again and again: see `journalctl -u postroad`")
	}
	return nil
}

// policy tells of peers whose SMTP is in clear on purpose. Why they do not answer is
// for others to find.
func policy(e *Evidence, p *Peer) []Finding {
	if !e.byPolicy(p.Peer) {
		return nil
	}
	do := "when it answers, its mail moves into the tunnel by itself; what else is said of it here may tell why it does not"
	if p.Policy == peers.Prefer {
		do += `; with policy = "latch" it then stays there`
	}
	return found(Warning, 100, fmt.Sprintf("SMTP with it flows IN CLEAR, as its policy %q says: it does not answer", p.Policy), do)
}

// byPolicy says whether the SMTP of a peer of the file flows in clear on purpose.
func (e *Evidence) byPolicy(p peers.Peer) bool { return e.Facts.Bypass[p.PublicKey] }

func guard(e *Evidence) []Finding {
	if e.Config == nil || e.LookError != nil || len(e.Config.Peers) == 0 {
		return lines(e.LookError, 90, "")
	}
	var bare []string
	for _, p := range e.Config.Peers {
		for _, a := range p.Addresses {
			if !e.byPolicy(p) && !tunnel.Closed(e.Have, a, e.Config.Host.Ports) {
				bare = append(bare, a.String())
			}
		}
	}
	switch g := e.Have.Guard; {
	case len(bare) > 0 && e.Daemon == nil: // which is why
		return found(Problem, 90, "SMTP can flow IN CLEAR with "+some(bare), "start the daemon")
	case len(bare) > 0:
		return found(Problem, 99, "SMTP can flow IN CLEAR with "+some(bare), "see `journalctl -u postroad` for who takes the protection away")
	case !g.Sound:
		return found(Problem, 70, "the nft table inet postroad is gone, or somebody has changed it; only the routes hold",
			"the daemon puts it back: if it runs and this stays, see `journalctl -u postroad`")
	}
	return nil
}

func steering(e *Evidence) []Finding {
	if e.Config == nil || e.LookError != nil {
		return nil
	}
	rules := lack(e.Want.Rules, e.Have.Rules)
	routes := lack(e.Want.Routes, e.Have.Routes)
	if rules+routes == 0 || e.Have.Link.Name == "" {
		return nil
	}
	return found(Problem, 69, fmt.Sprintf("%d rules and %d routes of ours are missing; only the guard holds", rules, routes),
		"the daemon puts them back: if it runs and this stays, something takes them away (`ip monitor rule route`)")
}

func reversePath(e *Evidence) []Finding {
	if l := e.Have.Link; e.Daemon == nil || l.Name == "" || l.Foreign || l.Loose {
		return nil
	}
	return found(Warning, 60, fmt.Sprintf("the reverse path filter of %s is strict: replies to containers would be dropped", e.Have.Link.Name),
		fmt.Sprintf("`sysctl net.ipv4.conf.%s.rp_filter=2`; something sets it back: look in /etc/sysctl.d", e.Have.Link.Name))
}

// ownAddresses looks for declared addresses that no interface has.
func ownAddresses(e *Evidence) (all []Finding) {
	if e.Config == nil || e.LookError != nil {
		return nil
	}
	for _, a := range e.Config.Host.Addresses {
		if has(e.Facts.Local, a) {
			continue
		}
		severity, weight := Note, 50
		to := "right behind 1:1 NAT only"
		if i := slices.IndexFunc(e.Want.Guard.NAT.Inside, func(i tunnel.Inside) bool { return i.Outer == a }); i >= 0 {
			to = "right behind 1:1 NAT, so mail for it goes to " + e.Want.Guard.NAT.Inside[i].Inner.String()
		}
		if slices.ContainsFunc(e.Peers, func(p Peer) bool { return p.Answered && !anyWorks(&p, a.Is4()) }) {
			severity, weight = Problem, 88
		}
		all = append(all, found(severity, weight, fmt.Sprintf("host.addresses has %s, which no interface has: %s", a, to),
			"if this host has no such address, correct host.addresses and send the peers a new card")...)
	}
	return all
}

// mtaSource looks for connections, and settings of MTAs, from addresses that are
// not declared. The link translates them; where it cannot, the peers' tunnels
// drop them.
func mtaSource(e *Evidence) (all []Finding) {
	if e.Config == nil || e.LookError != nil {
		return nil
	}
	for mta, bounds := range e.Host.OutOf {
		for _, b := range bounds {
			all = append(all, undeclared(e, b.Addr, fmt.Sprintf("%s is set to speak from %s (%s)", mta, b.Addr, b.Setting))...)
		}
	}
	for _, s := range e.Host.Speaking {
		if len(all) == 0 {
			all = append(all, undeclared(e, s.Addr(), fmt.Sprintf("an SMTP connection with a peer has our end at %s", s.Addr()))...)
		}
	}
	return all
}

// undeclared finds nothing wrong with private addresses that the link
// translates: that is how it is in a container, and behind 1:1 NAT.
func undeclared(e *Evidence, a netip.Addr, what string) []Finding {
	own, nat := ownOf(e), e.Want.Guard.NAT
	if !a.IsGlobalUnicast() || slices.Contains(own, a) {
		return nil
	}
	from := slices.IndexFunc(nat.From, func(f netip.Addr) bool { return f.Is4() == a.Is4() })
	inside := slices.ContainsFunc(nat.Inside, func(i tunnel.Inside) bool { return i.Inner == a })
	switch {
	case from < 0:
		return found(Problem, 92, fmt.Sprintf("%s, which the peers do not know: they know %s", what, list(own)),
			"have it speak from one of host.addresses, or add the address there and have the peers add it to theirs for this host")
	case a.IsPrivate(), inside:
		return nil
	}
	return found(Warning, 61, fmt.Sprintf("%s, which the peers do not know: they see %s instead", what, nat.From[from]),
		"if they should see that address, add it to host.addresses, and have the peers add it to theirs for this host")
}

// ownOf returns the addresses that this host speaks to peers from.
func ownOf(e *Evidence) []netip.Addr {
	if len(e.Config.Host.Addresses) > 0 {
		return e.Config.Host.Addresses
	}
	return e.Want.Guard.Own
}

// skewed is how far two clocks may be apart before it is worth a word.
const skewed = 10 * time.Minute

// clock looks for a clock that went backwards: WireGuard's hosts refuse
// handshakes that are older than the last one they saw.
func clock(e *Evidence) (all []Finding) {
	const mend = "set the clock and keep it right (`timedatectl set-ntp true`, or chrony); who has seen this host's later time " +
		"refuses its handshakes until then, and has to call it, as postroad does within seconds"
	for _, f := range e.Host.Future {
		all = append(all, found(Problem, 89, fmt.Sprintf("the clock has gone backwards: %s was changed later than now, %s", f, e.Now.Format(time.DateTime)), mend)...)
	}
	if e.Host.Unsynced && len(all) == 0 {
		all = append(all, found(Note, 10, "the clock is not synchronised, as far as the kernel knows", "`timedatectl set-ntp true`, or chrony")...)
	}
	return all
}

func has(all []tunnel.LocalAddr, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(l tunnel.LocalAddr) bool { return l.Addr == a })
}

// lack counts the elements of want that are not in have.
func lack[T comparable](want, have []T) (n int) {
	for _, w := range want {
		if !slices.Contains(have, w) {
			n++
		}
	}
	return n
}

// some lists at most three.
func some(all []string) string {
	if n := len(all) - 3; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:3], ", "), n)
	}
	return strings.Join(all, ", ")
}

func list(all []netip.Addr) string {
	var words []string
	for _, a := range all {
		words = append(words, a.String())
	}
	return some(words)
}

// named returns who of the file has a key; empty: nobody.
func named(c *peers.Config, key peers.PublicKey) string {
	for _, p := range c.Peers {
		if p.PublicKey == key {
			return p.Name
		}
	}
	return ""
}
