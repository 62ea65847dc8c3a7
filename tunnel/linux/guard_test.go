package linux

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// newNamespace puts the test into an empty network namespace of its own, which
// goes with its thread.
func newNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("POSTROAD_TEST_ROOT") != "" {
			t.Fatalf("making a network namespace: %v", err)
		}
		t.Skipf("making a network namespace: %v", err)
	}
}

// bigGuard guards n addresses of each family.
func bigGuard(n int) tunnel.Guard {
	g := tunnel.Guard{Sound: true, Link: "postroad0", Ports: []uint16{25, 465, 587}, Own: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, UDP: []uint16{51825}}
	g.NAT.From = []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}
	g.NAT.Inside = []tunnel.Inside{{Outer: netip.MustParseAddr("192.0.2.11"), Inner: netip.MustParseAddr("10.0.0.11")},
		{Outer: netip.MustParseAddr("2001:db8::11"), Inner: netip.MustParseAddr("fd00::11")}}
	for _, format := range []string{"10.0.%d.%d", "2001:db8::%x:%x"} {
		for i := range n {
			g.Peers = append(g.Peers, netip.MustParseAddr(fmt.Sprintf(format, i>>8, i&255)))
		}
	}
	return g
}

// wantGuard fails the test unless the kernel has that guard.
func wantGuard(t *testing.T, want tunnel.Guard) {
	t.Helper()
	have, err := observeGuard(want.Link)
	if err != nil {
		t.Fatal(err)
	}
	less := func(a, b netip.Addr) bool { return a.Less(b) }
	opts := cmp.Options{cmpopts.IgnoreFields(tunnel.Guard{}, "Refused"), cmpopts.EquateEmpty(), cmpopts.SortSlices(less),
		cmpopts.EquateComparable(netip.Addr{})}
	if diff := cmp.Diff(want, have, opts); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

// More elements than one call of the library can take are all there, at once
// and one batch after the other.
func TestGuardReadsBack(t *testing.T) {
	newNamespace(t)
	wantGuard(t, tunnel.Guard{})
	for _, n := range []int{0, 1, 12_000} {
		g := bigGuard(n)
		if err := replaceGuard(g); err != nil {
			t.Fatalf("%d peers: %v", n, err)
		}
		wantGuard(t, g)
	}
	small, big := bigGuard(1), bigGuard(6_000)
	if err := replaceGuard(small); err != nil {
		t.Fatal(err)
	}
	more := tunnel.Guard{Peers: append(big.Peers[1:6_000:6_000], big.Peers[6_001:]...), Ports: []uint16{2525}}
	if err := changeGuard(more, addToSet); err != nil {
		t.Fatal(err)
	}
	big.Ports = append(big.Ports, 2525)
	wantGuard(t, big)
	if err := changeGuard(more, takeFromSet); err != nil {
		t.Fatal(err)
	}
	wantGuard(t, small)
	if err := removeGuard(); err != nil {
		t.Fatal(err)
	}
	wantGuard(t, tunnel.Guard{})
}

// There is no rule whose loss, and no chain whose loss, goes unnoticed.
func TestEveryLostRuleIsNoticed(t *testing.T) {
	newNamespace(t)
	g, n := bigGuard(1), 0
	for _, ch := range guardChains(g) {
		for i := range ch.rules {
			if err := replaceGuard(g); err != nil {
				t.Fatal(err)
			}
			wantGuard(t, g)
			c := &nftables.Conn{}
			have, err := c.GetRules(guardTable, &nftables.Chain{Table: guardTable, Name: ch.name})
			if err != nil || len(have) != len(ch.rules) {
				t.Fatalf("chain %s has %d rules, want %d: %v", ch.name, len(have), len(ch.rules), err)
			}
			have[i].Table, have[i].Chain = guardTable, &nftables.Chain{Table: guardTable, Name: ch.name}
			if err := c.DelRule(have[i]); err != nil {
				t.Fatal(err)
			}
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			if seen, err := observeGuard(g.Link); err != nil || seen.Sound && seen.NAT.Equal(g.NAT) {
				t.Errorf("rule %d of chain %s is gone, and the guard is as it was (%v)", i, ch.name, err)
			}
			n++
		}
	}
	if n < 20 {
		t.Errorf("tried only %d rules", n)
	}
}

// The kernel may list an element twice in one dump. That is no difference between
// the sets, nor does it hide one.
func TestElementListedTwice(t *testing.T) {
	a, b := element{key: [16]byte{203, 0, 113, 5}, size: 4}, element{key: [16]byte{203, 0, 113, 6}, size: 4}
	for _, tt := range []struct {
		ins, outs []element
		agree     bool
	}{{[]element{a}, []element{a, a}, true}, {[]element{b, a, b}, []element{a, b}, true}, {[]element{a, b}, []element{a, a}, false}} {
		g := tunnel.Guard{Refused: map[netip.Addr]tunnel.Refused{}}
		if agree := fillGuard(&g, map[string][]element{setIn4: distinct(tt.ins), setOut4: distinct(tt.outs)}); agree != tt.agree || len(g.Peers) > 2 {
			t.Errorf("in %v, out %v: %v, %v", tt.ins, tt.outs, agree, g.Peers)
		}
	}
}

// An expression that the library does not know is not taken for none: here it takes
// the place of the protocol that the rule is about.
func TestUnknownExpressionIsNoticed(t *testing.T) {
	newNamespace(t)
	g := bigGuard(1)
	if err := replaceGuard(g); err != nil {
		t.Fatal(err)
	}
	c := &nftables.Conn{}
	arriving := &nftables.Chain{Table: guardTable, Name: "arriving"}
	have, err := c.GetRules(guardTable, arriving)
	if err != nil {
		t.Fatal(err)
	}
	last := have[len(have)-1]
	last.Table, last.Chain = guardTable, arriving
	last.Exprs = slices.Insert(last.Exprs, 1, expr.Any(&expr.Rt{Register: 1, Key: expr.RtClassid}))
	c.ReplaceRule(last)
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if seen, err := observeGuard(g.Link); err != nil || seen.Sound {
		t.Errorf("the guard is taken for sound (%v)", err)
	}
}

// What the library crashes on is an error, and other rules are read.
func TestRulesThatTheLibraryCannotRead(t *testing.T) {
	short := nl.NewRtAttr(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, nil)
	e := short.AddRtAttr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, nil)
	e.AddRtAttr(unix.NFTA_EXPR_NAME, nl.ZeroTerminated("connlimit"))
	e.AddRtAttr(unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, nil).AddRtAttr(1, nil) // NFTA_CONNLIMIT_COUNT
	if rules, err := listed(short.Serialize()); err == nil || !strings.Contains(err.Error(), "chain own in table postroad") {
		t.Errorf("got %v, %v", rules, err)
	}
}

// What is read of a key is of the last that an element says to have.
func TestParseElement(t *testing.T) {
	item := nl.NewRtAttr(unix.NFTA_LIST_ELEM, nil)
	for _, key := range [][]byte{bytes.Repeat([]byte{7}, 16), {203, 0, 113, 5}} {
		item.AddRtAttr(unix.NFTA_SET_ELEM_KEY|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_DATA_VALUE, key)
	}
	if got, want := parseElement(item.Serialize()[unix.SizeofRtAttr:]), (element{key: [16]byte{203, 0, 113, 5}, size: 4}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A rule is as large as it says only if that makes sense.
func TestRuleSize(t *testing.T) {
	for name, tt := range map[string]struct {
		expressions []byte
		want        int
	}{"none": {nil, 0}, "two": {[]byte{4, 0, 1, 0, 4, 0, 1, 0}, 2}, "cut": {[]byte{4, 0, 1, 0, 9, 0, 1, 0}, -1}} {
		data := append([]byte{unix.NFPROTO_INET, 0, 0, 0}, nl.NewRtAttr(unix.NFTA_RULE_CHAIN, nl.ZeroTerminated("own")).Serialize()...)
		data = append(data, nl.NewRtAttr(unix.NFTA_RULE_EXPRESSIONS, tt.expressions).Serialize()...)
		if chain, n := ruleSize(data); chain != "own" || n != tt.want {
			t.Errorf("%s: %d expressions of chain %s, want %d", name, n, chain, tt.want)
		}
	}
}

// A guard for another link is no guard for this one.
func TestGuardOfAnotherLinkIsNotSound(t *testing.T) {
	newNamespace(t)
	if err := replaceGuard(bigGuard(1)); err != nil {
		t.Fatal(err)
	}
	if g, err := observeGuard("road1"); err != nil || g.Sound || len(g.Peers) != 2 {
		t.Errorf("got %+v, %v", g, err)
	}
}

// Trying whether the kernel translates addresses leaves nothing behind.
func TestMissingNATLeavesNothing(t *testing.T) {
	newNamespace(t)
	if err := missingNAT(); err != nil {
		t.Fatal(err)
	}
	if tables, err := new(nftables.Conn).ListTables(); err != nil || len(tables) > 0 {
		t.Errorf("there are %d tables (%v)", len(tables), err)
	}
}
