package linux

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"postroad/tunnel"
)

// inNamespace runs the test once more, in a process that is in a network
// namespace of its own with all its threads, and says whether this is that one.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const inside = "POSTROAD_TEST_NAMESPACE"
	if os.Getenv(inside) == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	switch {
	case os.Geteuid() != 0 && os.Getenv("POSTROAD_TEST_ROOT") == "":
		t.Skip("making a network namespace needs root")
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// watching begins a watch; who it hears of comes through the channel.
func watching(t *testing.T, k *Kernel) <-chan string {
	t.Helper()
	heard, begun, done := make(chan string, 1000), make(chan struct{}, 1000), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		done <- k.Watch(ctx, func(by tunnel.Culprit) {
			if begun <- struct{}{}; by.Name != "" {
				heard <- by.Name
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-begun
	<-begun
	return heard
}

// command runs a program and returns its pid.
func command(t *testing.T, words string) int {
	t.Helper()
	f := strings.Fields(words)
	cmd := exec.Command(f[0], f[1:]...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", words, err, out)
	}
	return cmd.Process.Pid
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ours makes some of what is ours: guard, link, address, route and rule.
func ours(t *testing.T, k *Kernel) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	check(t, err)
	check(t, netlink.LinkSetUp(lo))
	check(t, netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "postroad0"}, Mode: netlink.TUNTAP_MODE_TUN}))
	link, err := netlink.LinkByName("postroad0")
	check(t, err)
	check(t, netlink.LinkSetUp(link))
	k.link.Store(int64(link.Attrs().Index))
	check(t, replaceGuard(bigGuard(1)))
	check(t, addRule(tunnel.Rule{Priority: tunnel.PortPriority, DstPort: 25}))
	check(t, addAddress("postroad0", netip.MustParsePrefix("192.0.2.10/32")))
	check(t, errors.Join(doRoutes([]tunnel.Step{tunnel.SetRoute{Route: tunnel.Route{Dst: netip.MustParseAddr("203.0.113.5"), Unreachable: true}}})...))
}

// Who takes away what is ours is known, by whatever program; changes of ours and
// of things that are not ours are nobody's.
func TestCulpritsAreKnown(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k := New(nil)
	heard := watching(t, k)
	ours(t, k)
	command(t, "nft add table inet other")
	command(t, "nft add chain inet other postroad")
	command(t, "nft add table ip postroad")
	command(t, "ip rule add priority 9 lookup 9")
	command(t, "ip route add unreachable 203.0.113.9 table 9")
	command(t, "ip tuntap add other mode tun")
	command(t, "ip addr add 192.0.2.11/32 dev other")
	for _, words := range []string{
		"nft delete element inet postroad out4 { 10.0.0.0 }",
		"nft flush ruleset",
		"ip rule del priority 2510",
		"ip route flush table 2525",
		"ip addr del 192.0.2.10/32 dev postroad0",
	} {
		wantHeard(t, heard, words)
	}
}

// wantHeard runs a command, of which the first that is heard must be.
func wantHeard(t *testing.T, heard <-chan string, words string) {
	t.Helper()
	name, _, _ := strings.Cut(words, " ")
	pid := command(t, words)
	select {
	case by := <-heard:
		// ip may be gone before its name is read
		if !regexp.MustCompile(`^(` + name + ` \(pid \d+\)|pid \d+)$`).MatchString(by) {
			t.Errorf("%s: heard of %s", words, by)
		}
		if name == "nft" && !strings.HasPrefix(by, "nft ") {
			t.Errorf("%s: the kernel knows its name, and one hears of %s", words, by)
		}
		if !strings.Contains(by, "pid "+strconv.Itoa(pid)) {
			t.Errorf("%s has pid %d, and one hears of %s", words, pid, by)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s: nobody was heard of", words)
	}
	for len(heard) > 0 { // the same, by several messages
		<-heard
	}
}
