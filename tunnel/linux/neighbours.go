package linux

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"postroad/tunnel/doctor"
)

// What is looked at of programs that share the network with us is what they read
// and leave on disk: asking each in its own protocol would tell no more.

// foreignRules says that systemd-networkd is told to leave others' alone.
var foreignRules = regexp.MustCompile(`(?mi)^\s*ManageForeignRoutingPolicyRules\s*=\s*(no|false|off|0)\s*$`)

// networkdTakes says whether systemd-networkd runs and takes foreign rules away.
func networkdTakes() bool {
	return exists("/run/systemd/netif/state") && !anyFile(foreignRules, "/{etc,run,usr/local/lib,usr/lib,lib}/systemd/networkd.conf",
		"/{etc,run,usr/local/lib,usr/lib,lib}/systemd/networkd.conf.d/*.conf")
}

// networkManagerTakes says whether NetworkManager runs and is not told to leave
// a link alone.
func networkManagerTakes(link string) bool {
	unmanaged := regexp.MustCompile(`(?mi)^\s*unmanaged-devices\+?\s*=.*interface-name:(` + regexp.QuoteMeta(link) + `|postroad\*)`)
	return exists("/run/NetworkManager/devices") && !anyFile(unmanaged, "/{etc,run,usr/lib}/NetworkManager/conf.d/*.conf", "/etc/NetworkManager/NetworkManager.conf")
}

var (
	ufwEnabled  = regexp.MustCompile(`(?mi)^\s*ENABLED\s*=\s*yes`)
	flushesAll  = regexp.MustCompile(`(?m)^\s*flush\s+ruleset\s*;?\s*$`)
	nftablesRun = "/etc/systemd/system/*.wants/nftables.service"
)

// firewalls returns those in use beside our guard: programs by their files, and
// what hooks packets that come in.
func firewalls(port uint16) (all []doctor.Firewall) {
	if anyFile(ufwEnabled, "/etc/ufw/ufw.conf") {
		all = append(all, doctor.Firewall{Name: "ufw", Open: fmt.Sprintf("ufw allow %d/udp", port)})
	}
	if exists("/run/firewalld") || exists("/run/firewalld.pid") {
		all = append(all, doctor.Firewall{Name: "firewalld",
			Open: fmt.Sprintf("firewall-cmd --permanent --add-port=%d/udp && firewall-cmd --reload", port)})
	}
	if enabled, _ := filepath.Glob(nftablesRun); len(enabled) > 0 && anyFile(flushesAll, "/etc/nftables.conf") {
		all = append(all, doctor.Firewall{Name: "nftables.service", Flushes: true})
	}
	return append(all, inputTables(port)...)
}

// inputTables lists nft tables of others that look at packets for this host.
func inputTables(port uint16) (all []doctor.Firewall) {
	chains, err := new(nftables.Conn).ListChains()
	if err != nil {
		return nil
	}
	for _, c := range chains {
		if c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookInput || c.Type != nftables.ChainTypeFilter || c.Table.Name == guardTable.Name || c.Table.Name == inletTable.Name {
			continue
		}
		f := doctor.Firewall{Name: fmt.Sprintf("the nft table %s %s", familyName(c.Table.Family), c.Table.Name)}
		if c.Table.Family == nftables.TableFamilyINet || c.Name != "INPUT" {
			f.Open = fmt.Sprintf("nft insert rule %s %s %s udp dport %d accept", familyName(c.Table.Family), c.Table.Name, c.Name, port)
		} else {
			f.Open = fmt.Sprintf("%s -I INPUT -p udp --dport %d -j ACCEPT", map[bool]string{true: "iptables", false: "ip6tables"}[c.Table.Family == nftables.TableFamilyIPv4], port)
		}
		all = append(all, f)
	}
	return all
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyINet:
		return "inet"
	}
	return fmt.Sprintf("family %d", f)
}

// unsynced says whether the kernel takes its clock for wrong: nobody keeps it
// right, see adjtimex(2).
func unsynced() bool {
	state, err := unix.Adjtimex(&unix.Timex{})
	return err == nil && state == unix.TIME_ERROR
}

// changedLater returns those of the files that were changed later than now.
func changedLater(now time.Time, files ...string) (all []string) {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.ModTime().Sub(now) > time.Minute {
			all = append(all, f)
		}
	}
	return all
}

// postfixSources are Postfix' settings of the addresses that it speaks from.
var postfixSources = []string{"smtp_bind_address", "smtp_bind_address6"}

// mtaSources asks the mail servers of this host which addresses they are set to
// speak from, as far as they can be asked.
func mtaSources(ctx context.Context) map[string][]doctor.Bound {
	all := map[string][]doctor.Bound{}
	for _, setting := range postfixSources {
		for _, a := range ask(ctx, "postconf", "-h", setting) {
			all["Postfix"] = append(all["Postfix"], doctor.Bound{Setting: setting, Addr: a})
		}
	}
	return all
}

// ask runs a program and returns the addresses among the words that it says;
// none where there is no such program.
func ask(ctx context.Context, name string, args ...string) (all []netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, name, args...).Output()
	for _, word := range strings.FieldsFunc(string(out), func(r rune) bool { return strings.ContainsRune(" \t\n,[]", r) }) {
		if a, err := netip.ParseAddr(word); err == nil {
			all = append(all, a.Unmap())
		}
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// anyFile says whether a file matches, of those that patterns name: glob(7) with
// one {list,of,choices}.
func anyFile(wanted *regexp.Regexp, patterns ...string) bool {
	for _, p := range patterns {
		for _, choice := range choices(p) {
			files, _ := filepath.Glob(choice)
			for _, f := range files {
				if data, err := os.ReadFile(f); err == nil && wanted.Match(data) {
					return true
				}
			}
		}
	}
	return false
}

func choices(pattern string) (all []string) {
	before, rest, ok := strings.Cut(pattern, "{")
	inner, after, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return []string{pattern}
	}
	for c := range strings.SplitSeq(inner, ",") {
		all = append(all, before+c+after)
	}
	return all
}
