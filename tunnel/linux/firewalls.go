package linux

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"postroad/peers"
	"postroad/tunnel/doctor"
)

// A wanted is what firewalls are to let through.
type wanted struct {
	port  uint16   // UDP, for the peers' packets
	link  string   // whose SMTP comes in
	smtp  []uint16 // ports of SMTP
	wires []string // interfaces that lead to the peers, the likeliest first
	mail  []netip.Addr
}

// firewalls returns those in use beside our guard, the likeliest to be asked
// first: programs by their files, and what hooks packets.
func firewalls(ctx context.Context, h peers.Host, wires []string, mail []netip.Addr) []doctor.Firewall {
	w := wanted{port: h.ListenPort, link: h.Link, smtp: h.Ports, wires: wires, mail: mail}
	tables := append(nftTables(w), legacyTables(ctx)...)
	var all []doctor.Firewall
	if anyFile(ufwEnabled, "/etc/ufw/ufw.conf") {
		all = append(all, ufw(ctx, w)...)
		tables = slices.DeleteFunc(tables, func(t table) bool { return t.ip() })
	}
	if f, ok := firewalld(ctx, w); ok {
		all = append(all, f)
		tables = slices.DeleteFunc(tables, func(t table) bool { return strings.HasPrefix(t.name, "firewalld") })
	}
	if enabled, _ := filepath.Glob(nftablesRun); len(enabled) > 0 {
		var f doctor.Firewall
		if f, tables = nftablesService(w, tables); f.Flushes || f.Drops {
			all = append(all, f)
		}
	}
	for _, t := range tables {
		all = append(all, t.firewall(w))
	}
	return all
}

var (
	flushesAll   = regexp.MustCompile(`(?m)^\s*flush\s+ruleset\s*;?\s*$`)
	nftablesRun  = "/etc/systemd/system/*.wants/nftables.service"
	nftablesConf = "/etc/nftables.conf"
)

// nftablesService returns what it has loaded as one firewall, and the tables that
// it has not.
func nftablesService(w wanted, tables []table) (doctor.Firewall, []table) {
	f := doctor.Firewall{Name: "nftables.service", Manages: true, Flushes: anyFile(flushesAll, nftablesConf)}
	conf := readText(nftablesConf)
	var others []table
	for _, t := range tables {
		if t.ip() || !t.drops || placeOf(conf, t, t.input) == 0 && placeOf(conf, t, t.output) == 0 {
			others = append(others, t)
			continue
		}
		o := t.firewall(w)
		f.Drops, f.Strict, f.Shut, f.Family = true, f.Strict || o.Strict, f.Shut || o.Shut, o.Family
		f.In = alsoIn(f.In, o.In, lasting(conf, t, t.input, w.udpIn()))
		f.Out = alsoIn(f.Out, o.Out, lasting(conf, t, t.output, w.udpOut()))
		f.Link = alsoIn(f.Link, o.Link, lasting(conf, t, t.input, w.smtpIn()))
	}
	f.Manages = f.Drops // else it is nothing that has to be opened
	return f, others
}

// alsoIn adds an opening to another one: what comes in has to pass all tables.
func alsoIn(o, more doctor.Opening, lasting string) doctor.Opening {
	switch {
	case more.Command == "":
		return o
	case o.Command == "":
		return doctor.Opening{Command: more.Command, Lasting: lasting}
	}
	return doctor.Opening{Command: o.Command + " && " + more.Command, Lasting: o.Lasting + lasting}
}

// lasting says where a rule goes for the next start of nftables.service.
func lasting(conf string, t table, chain, rule string) string {
	if n := placeOf(conf, t, chain); n > 0 {
		return fmt.Sprintf(", and, for the next start, the line `%s` after line %d of %s", rule, n, nftablesConf)
	}
	return fmt.Sprintf(", and, for the next start, the line `%s` first in the chain %s of the table %s, where %s has it from", rule, chain, t, nftablesConf)
}

// placeOf returns the number of the line of nft's words that hooks a chain: its
// first rule goes behind that. Zero: they have no such chain.
func placeOf(conf string, t table, chain string) int {
	if chain == "" {
		return 0
	}
	inTable := regexp.MustCompile(`^\s*table\s+(` + t.familyName() + `\s+)?"?` + regexp.QuoteMeta(t.name) + `"?\s*\{`)
	anyTable := regexp.MustCompile(`^\s*table\s`)
	inChain := regexp.MustCompile(`^\s*chain\s+"?` + regexp.QuoteMeta(chain) + `"?\s*\{`)
	anyChain := regexp.MustCompile(`^\s*chain\s`)
	hook := regexp.MustCompile(`\btype\s+filter\s+hook\b`)
	var ourTable, ourChain bool
	n := 0
	for line := range strings.Lines(conf) {
		n++
		switch {
		case inTable.MatchString(line):
			ourTable, ourChain = true, false
		case anyTable.MatchString(line):
			ourTable, ourChain = false, false
		case ourTable && inChain.MatchString(line):
			ourChain = true
		case anyChain.MatchString(line):
			ourChain = false
		}
		if ourTable && ourChain && hook.MatchString(line) {
			return n
		}
	}
	return 0
}

// The rules that are wanted, in nft's words.
func (w wanted) udpIn() string  { return fmt.Sprintf("udp dport %d accept", w.port) }
func (w wanted) udpOut() string { return fmt.Sprintf("udp sport %d accept", w.port) }
func (w wanted) smtpIn() string {
	return fmt.Sprintf("iifname %s tcp dport { %s } accept", w.link, w.list(", "))
}

// list is SMTP's ports.
func (w wanted) list(between string) string {
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(w.smtp), "[]")), between)
}

// ways returns the interfaces by which peers' packets come in, and the addresses
// that they come from.
func (x *Examiner) ways(e *doctor.Evidence) (wires []string, from []netip.Addr) {
	for _, p := range x.config.Peers {
		end := endpointOf(e.Want.Device, p.PublicKey).Addr()
		if seen := endpointOf(e.Have.Device, p.PublicKey).Addr(); seen.IsValid() {
			end = seen
		}
		if wire := e.Facts.Paths[end].Link; wire != "" && !slices.Contains(wires, wire) {
			wires = append(wires, wire)
		}
		from = append(from, p.Addresses...)
	}
	return wires, from
}
