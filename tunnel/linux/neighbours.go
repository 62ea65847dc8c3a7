package linux

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

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
	if len(all) == 0 {
		for _, a := range onlyOnes(ask(ctx, "postconf", "-h", "inet_interfaces")) {
			all["Postfix"] = append(all["Postfix"], doctor.Bound{Setting: "inet_interfaces", Addr: a})
		}
	}
	return all
}

// onlyOnes returns the addresses that are the only ones of their family: from
// such a one of those that it listens on, Postfix also speaks.
func onlyOnes(listening []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(listening), func(a netip.Addr) bool {
		return slices.ContainsFunc(listening, func(b netip.Addr) bool { return a != b && a.Is4() == b.Is4() })
	})
}

// ask runs a program and returns the addresses among the words that it says;
// none where there is no such program.
func ask(ctx context.Context, name string, args ...string) (all []netip.Addr) {
	for _, word := range strings.FieldsFunc(tell(ctx, name, args...), func(r rune) bool { return strings.ContainsRune(" \t\n,[]", r) }) {
		if a, err := netip.ParseAddr(word); err == nil {
			all = append(all, a.Unmap())
		}
	}
	return all
}

// tell runs a program and returns what it says; nothing where there is no such
// program.
func tell(ctx context.Context, name string, args ...string) string {
	words, _ := output(ctx, name, args...)
	return words
}

// toolPatience is for programs in Python, on a host that is busy.
const toolPatience = 30 * time.Second

// output runs a program, for a while.
func output(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, toolPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return string(out), err
}

// readText returns a file's text; nothing where it cannot be read.
func readText(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
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
