package linux

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"postroad/tunnel/doctor"
)

// A table is one of somebody else's that filters packets.
type table struct {
	family        nftables.TableFamily
	name          string
	input, output string // chains that are hooked there; empty: none
	strict, drops bool   // drops what it does not know; drops something
	shut          bool   // none of its rules accepts our UDP port, as far as is seen
	program       string // that edits it: iptables, ip6tables and their like; empty: nft
}

// ip says whether it is one of iptables' kind, which ufw uses, too.
func (t table) ip() bool { return t.program != "" }

func (t table) familyName() string {
	switch t.family {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	}
	return "inet"
}

func (t table) String() string { return t.familyName() + " " + t.name }

// nftTables lists the tables that look at packets for this host, or of it.
func nftTables(w wanted) (all []table) {
	c := new(nftables.Conn)
	chains, err := c.ListChains()
	if err != nil {
		return nil
	}
	for _, chain := range chains {
		if chain.Hooknum == nil || chain.Type != nftables.ChainTypeFilter || chain.Table.Name == guardTable.Name || chain.Table.Name == inletTable.Name ||
			!slices.Contains([]nftables.TableFamily{nftables.TableFamilyINet, nftables.TableFamilyIPv4, nftables.TableFamilyIPv6}, chain.Table.Family) {
			continue
		}
		input, output := *chain.Hooknum == *nftables.ChainHookInput, *chain.Hooknum == *nftables.ChainHookOutput
		if !input && !output {
			continue
		}
		n := slices.IndexFunc(all, func(t table) bool { return t.family == chain.Table.Family && t.name == chain.Table.Name })
		if n < 0 {
			n = len(all)
			rules, err := rulesOf(c, chain.Table, chains)
			all = append(all, table{family: chain.Table.Family, name: chain.Table.Name, drops: err != nil || slices.ContainsFunc(rules, stops),
				shut: err == nil && !slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return mayAccept(r, w.port) })})
		}
		t := &all[n]
		strict := chain.Policy != nil && *chain.Policy == nftables.ChainPolicyDrop
		t.strict, t.drops = t.strict || strict, t.drops || strict
		if input && (t.input == "" || strict) {
			t.input = chain.Name
		}
		if output && (t.output == "" || strict) {
			t.output = chain.Name
		}
		if t.family != nftables.TableFamilyINet && (chain.Name == "INPUT" || chain.Name == "OUTPUT") {
			t.shut = false // what iptables' matches say is not looked at
			t.program = map[bool]string{true: "iptables", false: "ip6tables"}[t.family == nftables.TableFamilyIPv4]
		}
	}
	return all
}

// rulesOf returns the rules of all chains of a table.
func rulesOf(c *nftables.Conn, t *nftables.Table, chains []*nftables.Chain) (all []*nftables.Rule, err error) {
	for _, chain := range chains {
		if chain.Table.Family != t.Family || chain.Table.Name != t.Name {
			continue
		}
		rules, err := listRules(c, t, chain)
		if err != nil {
			return nil, err
		}
		all = append(all, rules...)
	}
	return all, nil
}

// stops says whether a rule drops or rejects anything.
func stops(r *nftables.Rule) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		switch e := e.(type) {
		case *expr.Verdict:
			return e.Kind == expr.VerdictDrop
		case *expr.Reject:
			return true
		case *expr.Target: // iptables' REJECT, by nft_compat
			return e.Name == "REJECT" || e.Name == "DROP"
		}
		return false
	})
}

// mayAccept says whether a rule accepts packets to a UDP port that begin
// something, or may: what sets hold, who sends and by which interface is not
// looked at.
func mayAccept(r *nftables.Rule, port uint16) bool {
	var accepts, asksPort, open bool
	var asked expr.MetaKey
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Ct: // of what has begun
			return false
		case *expr.Meta:
			asked = e.Key
			continue
		case *expr.Payload:
			asksPort = asksPort || e.Base == expr.PayloadBaseTransportHeader
		case *expr.Cmp:
			switch {
			case asked == expr.MetaKeyL4PROTO && !bytes.Equal(e.Data, []byte{unix.IPPROTO_UDP}),
				asked == expr.MetaKeyIIFNAME && bytes.HasPrefix(e.Data, []byte("lo\x00")),
				asked == expr.MetaKeyIIF && bytes.Equal(e.Data, native(1)):
				return false
			}
			open = open || bytes.Equal(e.Data, binaryutil.BigEndian.PutUint16(port))
		case *expr.Lookup:
			if asked == expr.MetaKeyL4PROTO && !asksPort { // icmp and its like
				return false
			}
			open = true
			accepts = accepts || e.IsDestRegSet && e.DestRegister == 0 // a verdict map
		case *expr.Range:
			open = true
		case *expr.Verdict:
			accepts = accepts || e.Kind == expr.VerdictAccept
		}
		asked = 0
	}
	return accepts && (open || !asksPort)
}

// legacyTables lists those of iptables-legacy, which nft does not see.
func legacyTables(ctx context.Context) (all []table) {
	for _, kind := range []struct {
		list, program string
		family        nftables.TableFamily
	}{
		{"/proc/net/ip_tables_names", "iptables-legacy", nftables.TableFamilyIPv4},
		{"/proc/net/ip6_tables_names", "ip6tables-legacy", nftables.TableFamilyIPv6},
	} {
		if !slices.Contains(strings.Fields(readText(kind.list)), "filter") {
			continue
		}
		t := table{family: kind.family, name: "filter", input: "INPUT", output: "OUTPUT", program: kind.program}
		if _, err := exec.LookPath(t.program); err != nil { // the only ones here: they have the ordinary name
			t.program = strings.TrimSuffix(t.program, "-legacy")
		}
		rules := tell(ctx, t.program, "-S")
		t.strict = strings.Contains(rules, "-P INPUT DROP") || strings.Contains(rules, "-P OUTPUT DROP")
		if t.drops = t.strict || strings.Contains(rules, "-j DROP") || strings.Contains(rules, "-j REJECT"); t.drops {
			all = append(all, t)
		}
	}
	return all
}

// firewall says how to open the table.
func (t table) firewall(w wanted) doctor.Firewall {
	f := doctor.Firewall{Name: "the nft table " + t.String(), Strict: t.strict, Drops: t.drops, Shut: t.strict && t.shut}
	switch t.family {
	case nftables.TableFamilyIPv4:
		f.Family = 4
	case nftables.TableFamilyIPv6:
		f.Family = 6
	}
	if t.ip() {
		f.Name = t.program
		return t.byProgram(f, w)
	}
	if t.input != "" {
		f.In.Command = fmt.Sprintf("nft insert rule %s %s %s", t, t.input, w.udpIn())
		f.Link.Command = fmt.Sprintf("nft insert rule %s %s '%s'", t, t.input, w.smtpIn())
	}
	if t.output != "" {
		f.Out.Command = fmt.Sprintf("nft insert rule %s %s %s", t, t.output, w.udpOut())
	}
	return f
}

// byProgram has the program open it, and keep that where Debian's
// iptables-persistent is there to.
func (t table) byProgram(f doctor.Firewall, w wanted) doctor.Firewall {
	keep := ""
	if exists("/usr/sbin/netfilter-persistent") {
		keep = " && netfilter-persistent save"
	}
	f.In.Command = fmt.Sprintf("%s -I INPUT -p udp --dport %d -j ACCEPT%s", t.program, w.port, keep)
	f.Out.Command = fmt.Sprintf("%s -I OUTPUT -p udp --sport %d -j ACCEPT%s", t.program, w.port, keep)
	f.Link.Command = fmt.Sprintf("%s -I INPUT -i %s -p tcp -m multiport --dports %s -j ACCEPT%s", t.program, w.link, w.list(","), keep)
	if keep == "" {
		const later = ", and the same where this host loads its rules at boot"
		f.In.Lasting, f.Out.Lasting, f.Link.Lasting = later, later, later
	}
	return f
}
