package linux

import (
	"net/netip"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// ip runs ip(8) in the test's namespace.
func ip(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", words, err, out)
	}
}

func TestSourceAddresses(t *testing.T) {
	newNamespace(t)
	want := func(what string, texts ...string) {
		t.Helper()
		var all []netip.Addr
		for _, s := range texts {
			all = append(all, netip.MustParseAddr(s))
		}
		got, err := SourceAddresses("postroad0")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(all, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	want("an empty namespace")
	for i, link := range []string{"eth0", "docker0", "postroad0"} {
		ip(t, "link", "add", link, "type", "veth", "peer", "name", "far"+link)
		ip(t, "link", "set", "far"+link, "up", "addrgenmode", "none")
		ip(t, "link", "set", link, "up")
		octet := string(rune('1' + i))
		ip(t, "address", "add", "192.0."+octet+".10/24", "dev", link)
		ip(t, "address", "add", "2001:db8:"+octet+"::10/64", "dev", link, "nodad")
	}
	want("no default route: all, but the link's", "192.0.1.10", "192.0.2.10", "2001:db8:1::10", "2001:db8:2::10")
	ip(t, "address", "add", "192.0.1.11/24", "dev", "eth0")
	ip(t, "route", "add", "default", "via", "192.0.1.1", "src", "192.0.1.11")
	want("a default route of one family", "192.0.1.11")
	ip(t, "-6", "route", "add", "default", "via", "2001:db8:1::1")
	want("default routes", "192.0.1.11", "2001:db8:1::10")
}
