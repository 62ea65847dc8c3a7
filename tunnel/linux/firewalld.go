package linux

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"postroad/tunnel/doctor"
)

// firewalld returns the firewall that it is; false: it does not run.
func firewalld(ctx context.Context, w wanted) (doctor.Firewall, bool) {
	f := doctor.Firewall{Name: "firewalld", Manages: true, Drops: true, Strict: true}
	if !exists("/run/firewalld") && !exists("/run/firewalld.pid") {
		return f, false
	}
	words, err := output(ctx, "firewall-cmd", "--list-all-zones")
	z := zones{all: parseZones(words), fallback: strings.TrimSpace(tell(ctx, "firewall-cmd", "--get-default-zone"))}
	link, wire := z.named(z.of(w.link)), z.named(z.fallback)
	if len(w.wires) > 0 {
		wire = z.named(z.of(w.wires[0]))
	}
	var refused *exec.ExitError
	switch {
	case errors.As(err, &refused) && refused.Exited(): // files of one that has ended
		return f, false
	case err != nil, link == nil, wire == nil: // it cannot be asked
		f.In.Command = reload(fmt.Sprintf("firewall-cmd --permanent --add-port=%d/udp", w.port))
		return f, true
	}
	f.In.Command, f.Shut = reload(z.open(w)...), wire.shut(w.port)
	f.Link.Command = reload(fmt.Sprintf("firewall-cmd --permanent --zone=%s --change-interface=%s", wire.name, w.link))
	if wire.masquerade || wire == link { // which is for others, or would not help
		f.Link.Command = reload(link.add(w.smtp, "tcp"))
	}
	if !z.allFromSources(w.mail) {
		f.Zones = &doctor.Zones{Link: doctor.Zone{Name: link.name, SMTP: link.takes(w.smtp)}, Wire: doctor.Zone{Name: wire.name, SMTP: wire.takes(w.smtp)}}
	}
	return f, true
}

func reload(commands ...string) string {
	return strings.Join(append(commands, "firewall-cmd --reload"), " && ")
}

// zones are firewalld's.
type zones struct {
	all      []zone
	fallback string // name of the default zone
}

// A zone is as `firewall-cmd --list-all-zones` tells it.
type zone struct {
	name                string
	target              string // ACCEPT, DROP, %%REJECT%% or default
	interfaces, sources []string
	services, ports     []string
	rich                []string
	masquerade          bool
}

// parseZones reads what `firewall-cmd --list-all-zones` says.
func parseZones(words string) (all []zone) {
	for line := range strings.Lines(words) {
		name, value, isKey := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case strings.TrimSpace(line) == "":
			continue
		case !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t"):
			all = append(all, zone{name: strings.Fields(line)[0]})
			continue
		case len(all) == 0:
			return nil // no list of zones
		case strings.HasPrefix(strings.TrimSpace(line), "rule "):
			z := &all[len(all)-1]
			z.rich = append(z.rich, strings.TrimSpace(line))
			continue
		case !isKey:
			continue
		}
		all[len(all)-1].set(name, strings.TrimSpace(value))
	}
	return all
}

func (z *zone) set(name, value string) {
	switch name {
	case "target":
		z.target = value
	case "interfaces":
		z.interfaces = strings.Fields(value)
	case "sources":
		z.sources = strings.Fields(value)
	case "services":
		z.services = strings.Fields(value)
	case "ports":
		z.ports = strings.Fields(value)
	case "masquerade":
		z.masquerade = value == "yes"
	}
}

// of returns the name of an interface's zone.
func (z zones) of(link string) string {
	for _, zone := range z.all {
		if slices.Contains(zone.interfaces, link) {
			return zone.name
		}
	}
	return z.fallback
}

// from returns the name of the zone that an address is bound to, whatever
// interface it comes through; empty: none.
func (z zones) from(a netip.Addr) string {
	for _, zone := range z.all {
		for _, s := range zone.sources {
			if p, err := netip.ParsePrefix(s); err == nil && p.Contains(a) || s == a.String() {
				return zone.name
			}
		}
	}
	return ""
}

func (z zones) allFromSources(all []netip.Addr) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(a netip.Addr) bool { return z.from(a) == "" })
}

func (z zones) named(name string) *zone {
	for i := range z.all {
		if z.all[i].name == name {
			return &z.all[i]
		}
	}
	return nil
}

// open opens the port in each zone that the peers' packets can come in by.
func (z zones) open(w wanted) (commands []string) {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, link := range w.wires {
		add(z.of(link))
	}
	for _, a := range w.mail {
		add(z.from(a))
	}
	if len(names) == 0 {
		add(z.fallback)
	}
	for _, name := range names {
		commands = append(commands, (&zone{name: name}).add([]uint16{w.port}, "udp"))
	}
	return commands
}

func (z *zone) add(ports []uint16, proto string) string {
	words := "firewall-cmd --permanent --zone=" + z.name
	for _, p := range ports {
		words += fmt.Sprintf(" --add-port=%d/%s", p, proto)
	}
	return words
}

// shut says whether nothing in the zone opens a port of UDP. A service that it
// does not know may, a rich rule, or a range of ports.
func (z *zone) shut(port uint16) bool {
	opens := func(p string) bool {
		return p == fmt.Sprintf("%d/udp", port) || strings.Contains(p, "-") && strings.HasSuffix(p, "/udp")
	}
	unknown := func(s string) bool { return !slices.Contains(knownServices, s) }
	return z.target != "ACCEPT" && len(z.rich) == 0 && !slices.ContainsFunc(z.ports, opens) && !slices.ContainsFunc(z.services, unknown)
}

// knownServices are those of firewalld's that mail hosts have, and none of which
// is ours.
var knownServices = []string{"cockpit", "dhcpv6-client", "dns", "http", "https", "imap", "imaps", "mdns", "pop3", "pop3s", "smtp", "smtps",
	"smtp-submission", "ssh"}

// smtpServices are firewalld's names for SMTP's ports.
var smtpServices = map[uint16]string{25: "smtp", 465: "smtps", 587: "smtp-submission"}

// takes returns those of the ports of TCP that the zone lets in, as far as its
// words tell.
func (z *zone) takes(ports []uint16) (all []uint16) {
	for _, p := range ports {
		service := smtpServices[p]
		rule := regexp.MustCompile(fmt.Sprintf(`(port port="%d" protocol="tcp"|service name="%s").* accept`, p, service))
		if z.target == "ACCEPT" || slices.Contains(z.ports, fmt.Sprintf("%d/tcp", p)) ||
			service != "" && slices.Contains(z.services, service) || slices.ContainsFunc(z.rich, rule.MatchString) {
			all = append(all, p)
		}
	}
	return all
}
