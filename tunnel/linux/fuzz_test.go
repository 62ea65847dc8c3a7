package linux

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
	"postroad/tunnel/doctor"
)

// What the kernel says is decoded here from bytes such as it gives. It can be
// trusted to make sense; that a kernel which says more than ours knows, or whoever
// changes what is ours, cannot crash the daemon is not left to trust.

// routeMessage is what rtnetlink(7) says of a route, as we set it.
func routeMessage(r tunnel.Route, link int) []byte {
	return appendRouteRequest(nil, tunnel.SetRoute{Link: "postroad0", Route: r}, map[string]int{"postroad0": link})[unix.SizeofNlMsghdr:]
}

// A route that is read as ours is what we would set, and reads back as the same.
func FuzzParseRoute(f *testing.F) {
	for _, r := range []tunnel.Route{
		{Dst: netip.MustParseAddr("203.0.113.5"), Src: netip.MustParseAddr("192.0.2.10"), MTU: 1420}, {Dst: netip.MustParseAddr("203.0.113.5"), Unreachable: true},
		{Dst: netip.MustParseAddr("2001:db8:b::5"), Src: netip.MustParseAddr("2001:db8::10"), MTU: 1280}, {Dst: netip.MustParseAddr("2001:db8:b::5"), Unreachable: true},
	} {
		f.Add(routeMessage(r, 7), 7)
	}
	f.Fuzz(func(t *testing.T, data []byte, link int) {
		r, ok := parseRoute(data)
		if ok && len(data) < unix.SizeofRtMsg {
			t.Fatalf("%x is a route", data)
		}
		ours, is := r.ours(link)
		if !ok || !is {
			return
		}
		if !ours.Dst.IsValid() || ours.Unreachable && (ours.Src.IsValid() || ours.MTU != 0) || !ours.Unreachable && r.link != link {
			t.Errorf("%x is taken for %+v", data, ours)
		}
		again, ok := parseRoute(routeMessage(ours, link))
		if back, is := again.ours(link); !ok || !is || back != ours || again.table != tunnel.Table || again.protocol != tunnel.Protocol {
			t.Errorf("%+v comes back as %+v", ours, back)
		}
	})
}

// elementsMessage is what nf_tables says of elements of a set.
func elementsMessage(all []element) []byte {
	list := nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED, nil)
	for _, e := range all {
		item := list.AddRtAttr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, nil)
		item.AddRtAttr(unix.NFTA_SET_ELEM_KEY|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_DATA_VALUE, e.key[:e.size])
		counter := item.AddRtAttr(unix.NFTA_SET_ELEM_EXPR|unix.NLA_F_NESTED, nil)
		counter.AddRtAttr(unix.NFTA_EXPR_NAME, nl.ZeroTerminated("counter"))
		counter.AddRtAttr(unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, nil).AddRtAttr(unix.NFTA_COUNTER_PACKETS, binary.BigEndian.AppendUint64(nil, e.packets))
	}
	return append([]byte{unix.NFPROTO_INET, 0, 0, 0}, list.Serialize()...)
}

// What is read of sets reads back as the same, and no address is guarded that is
// not stopped both ways.
func FuzzElements(f *testing.F) {
	four, six := element{size: 4, packets: 3}, element{size: 16}
	copy(four.key[:], []byte{203, 0, 113, 5})
	copy(six.key[:], []byte{0x20, 1, 0xd, 0xb8, 15: 5})
	port := element{size: 2}
	copy(port.key[:], []byte{0, 25})
	for _, all := range [][]element{{four}, {six, six}, {port}, {four, six, port, {}}, nil} {
		f.Add(elementsMessage(all), uint8(len(all)))
	}
	f.Fuzz(func(t *testing.T, data []byte, spread uint8) {
		all := appendElements(nil, data)
		if len(all) > 500 { // more than an attribute holds
			return
		}
		if again := appendElements(nil, elementsMessage(all)); !slices.Equal(again, all) {
			t.Errorf("%+v come back as %+v", all, again)
		}
		found := map[string][]element{}
		for i, e := range all {
			for n, name := range setsFor(e) {
				if spread>>((i+n)%8)&1 == 0 {
					found[name] = append(found[name], e)
				}
			}
		}
		for name, some := range found {
			found[name] = distinct(some)
		}
		g := tunnel.Guard{Refused: map[netip.Addr]tunnel.Refused{}}
		checkGuard(t, fillGuard(&g, found), g, found)
	})
}

// setsFor are those of the guard that an element can be in.
func setsFor(e element) []string {
	return map[int][]string{2: {setPorts, setUDP}, 4: {setIn4, setOut4, setOwn4}, 16: {setIn6, setOut6, setOwn6}}[e.size]
}

func checkGuard(t *testing.T, agree bool, g tunnel.Guard, found map[string][]element) {
	t.Helper()
	ins := append(elementAddrs(found[setIn4]), elementAddrs(found[setIn6])...)
	outs := append(elementAddrs(found[setOut4]), elementAddrs(found[setOut6])...)
	for _, a := range g.Peers {
		if !a.IsValid() || !slices.Contains(ins, a) || !slices.Contains(outs, a) {
			t.Errorf("%s is guarded", a)
		}
	}
	for _, a := range slices.Concat(ins, outs) {
		if agree && !slices.Contains(g.Peers, a) {
			t.Errorf("%s is in one of the sets, and they agree", a)
		}
	}
	if !slices.IsSorted(g.Ports) || !slices.IsSorted(g.UDP) || !slices.IsSortedFunc(g.Own, netip.Addr.Compare) {
		t.Errorf("not in order: %+v", g)
	}
}

// ruleMessages are the requests for rules, as the library makes them: but for
// their headers, that is how the kernel lists them.
func ruleMessages(f *testing.F, chains []chain) (all [][]byte) {
	f.Helper()
	c := &nftables.Conn{TestDial: func(requests []netlink.Message) ([]netlink.Message, error) {
		for _, r := range requests {
			if r.Header.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWRULE {
				all = append(all, r.Data[nl.SizeofNfgenmsg:])
			}
		}
		return nil, io.EOF
	}}
	addChains(c, chains)
	_ = c.Flush() // that nobody answers is no matter
	return all
}

// listed has the library read a message as one about a rule.
func listed(data []byte) ([]*nftables.Rule, error) {
	c := &nftables.Conn{TestDial: func([]netlink.Message) ([]netlink.Message, error) {
		return []netlink.Message{{Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE},
			Data: append([]byte{unix.NFPROTO_INET, 0, 0, 0}, data...)}}, nil
	}}
	return listRules(c, guardTable, &nftables.Chain{Table: guardTable, Name: chainOwn})
}

// Whatever rules there are, of ours and of others: reading them does not crash, and
// one that is taken for ours has no more to it than ours.
func FuzzRules(f *testing.F) {
	chains := guardChains(bigGuard(1))
	messages := ruleMessages(f, chains)
	var ours []rule
	for _, ch := range chains {
		ours = append(ours, ch.rules...)
	}
	if len(messages) != len(ours) {
		f.Fatalf("there are %d messages of %d rules", len(messages), len(ours))
	}
	for _, m := range messages {
		f.Add(m)
	}
	f.Add(withUnknown(messages[0]))
	for _, e := range []expr.Any{&expr.Log{}, &expr.Limit{Rate: 5}, &expr.Range{Register: 1, FromData: []byte{0, 25}, ToData: []byte{0, 26}}, &expr.Counter{Packets: 7},
		&expr.Connlimit{Count: 3}, &expr.Masq{}, &expr.Fib{Register: 1}, &expr.Match{Name: "tcp", Info: &xt.Tcp{DstPorts: [2]uint16{25, 25}}}, &expr.Target{Name: "REJECT", Info: &xt.Unknown{0, 0, 0, 0}}, &expr.Queue{Num: 1}, &expr.Quota{Bytes: 1}} {
		for _, m := range ruleMessages(f, []chain{{name: chainOwn, rules: one("", []expr.Any{e}, drop())}}) {
			f.Add(m)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := listed(data)
		if err != nil {
			return
		}
		for _, r := range rules {
			stops(r)
			mayAccept(r, 51825)
			addresses(r)
			_, size := ruleSize(append(make([]byte, nl.SizeofNfgenmsg), data...))
			for i, want := range ours {
				if sameRule(r, want) && sameSize(size, want) && !slices.Equal(names(data), names(messages[i])) {
					t.Errorf("%x is taken for the rule %q", data, want.why)
				}
			}
		}
	})
}

// names lists those of a rule's expressions.
func names(rule []byte) (all []string) {
	attributes(rule, func(kind uint16, list []byte) {
		if kind == unix.NFTA_RULE_EXPRESSIONS {
			attributes(list, func(_ uint16, item []byte) { all = append(all, text(attr(item, 0, unix.NFTA_EXPR_NAME))) })
		}
	})
	return all
}

// withUnknown puts an expression before those of a rule that the library does not
// know.
func withUnknown(rule []byte) []byte {
	unknown := nl.NewRtAttr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, nil)
	unknown.AddRtAttr(unix.NFTA_EXPR_NAME, nl.ZeroTerminated("osf"))
	unknown.AddRtAttr(unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, nil)
	var all []byte
	attributes(rule, func(kind uint16, value []byte) {
		if kind == unix.NFTA_RULE_EXPRESSIONS {
			kind, value = kind|unix.NLA_F_NESTED, append(unknown.Serialize(), value...)
		}
		all = append(all, nl.NewRtAttr(int(kind), value).Serialize()...)
	})
	return all
}

// Whatever event comes: nobody is named for what is not ours, and somebody for
// what is.
func FuzzEvents(f *testing.F) {
	table := func(family byte, name string) []byte {
		return append([]byte{family, 0, 0, 0}, nl.NewRtAttr(unix.NFTA_TABLE_NAME, nl.ZeroTerminated(name)).Serialize()...)
	}
	f.Add(uint16(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE), uint32(1), table(unix.NFPROTO_INET, tunnel.GuardTable))
	f.Add(uint16(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWRULE), uint32(1), table(unix.NFPROTO_IPV4, tunnel.GuardTable))
	f.Add(uint16(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE), uint32(1), table(unix.NFPROTO_INET, "other"))
	f.Add(uint16(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE), uint32(1), append(table(unix.NFPROTO_INET, ""), 5, 0, 1, 0, 'x'))
	f.Add(uint16(unix.RTM_DELROUTE), uint32(1), routeMessage(tunnel.Route{Dst: netip.MustParseAddr("203.0.113.5"), Unreachable: true}, 0))
	f.Add(uint16(unix.RTM_DELRULE), uint32(maxPID+1), append(make([]byte, unix.SizeofRtMsg), nl.NewRtAttr(unix.FRA_TABLE, nl.Uint32Attr(tunnel.Table)).Serialize()...))
	f.Add(uint16(unix.RTM_DELADDR), uint32(1), []byte{2, 32, 0, 0, 7, 0, 0, 0})
	made := append(append([]byte{0, 0, 0, 0}, nl.NewRtAttr(unix.NFTA_GEN_PROC_PID, []byte{0, 0, 0, 1}).Serialize()...), nl.NewRtAttr(unix.NFTA_GEN_PROC_NAME, nl.ZeroTerminated("nft")).Serialize()...)
	generation := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN}, Data: made}
	var link atomic.Int64
	link.Store(7)
	f.Fuzz(func(t *testing.T, kind uint16, pid uint32, data []byte) {
		m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind, Pid: pid}, Data: data}
		if by := routeInformer(&link)(m); (by != "") != (oursOnRoute(m, 7) && pid > 0 && pid <= maxPID && int(pid) != os.Getpid()) {
			t.Errorf("a message of type %d by %d is told to be of %q", kind, pid, by)
		}
		who := nftInformer()
		who(m)
		by := who(generation)
		if kind>>8 == unix.NFNL_SUBSYS_NFTABLES && kind&0xff != unix.NFT_MSG_NEWGEN && (by != "") != ofGuard(data) {
			t.Errorf("%x is told to be of %q", data, by)
		}
	})
}

// ofGuard says whether an event of nf_tables names our table, if its attributes
// make sense.
func ofGuard(data []byte) bool {
	if len(data) < nl.SizeofNfgenmsg || data[0] != unix.NFPROTO_INET {
		return false
	}
	name, known := "", false
	whole := attributes(data[nl.SizeofNfgenmsg:], func(kind uint16, value []byte) {
		if kind == unix.NFTA_TABLE_NAME && !known {
			name, known = text(value), true
		}
	})
	return whole && name == tunnel.GuardTable
}

// Whatever is said of a link, its filter is loose only where that is what it says.
func FuzzParseLoose(f *testing.F) {
	for _, filter := range []uint32{0, 1, looseFilter} {
		spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
		conf := make([]byte, 4*32)
		binary.NativeEndian.PutUint32(conf[4*(rpFilter-1):], filter)
		spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF, conf)
		f.Add(append(make([]byte, unix.SizeofIfInfomsg), spec.Serialize()...))
	}
	f.Add([]byte{})
	f.Add(append(make([]byte, unix.SizeofIfInfomsg), 5, 0, 26, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		loose, err := parseLoose(data)
		if loose && (err != nil || !bytes.Contains(data, native(looseFilter)) || len(data) < unix.SizeofIfInfomsg+4*rpFilter) {
			t.Errorf("%x is loose (%v)", data, err)
		}
	})
}

// Whatever is said of a connection, it is one only if there is all of it.
func FuzzParseDiag(f *testing.F) {
	m := make([]byte, 72)
	m[0] = unix.AF_INET6
	copy(m[4:], []byte{0, 25, 0x9c, 0x40})
	copy(m[24:], []byte{10: 0xff, 11: 0xff, 12: 203, 0, 113, 5})
	f.Add(m)
	f.Add(append([]byte{unix.AF_INET}, m[1:]...))
	f.Add(m[:71])
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, ok := parseDiag(msg)
		if ok != (len(msg) >= 72) || ok != c.remote.IsValid() || c.remote.Is4In6() || ok && (c.localPort != binary.BigEndian.Uint16(msg[4:6]) || msg[0] == unix.AF_INET && !c.remote.Is4()) {
			t.Errorf("%x is %+v, %v", msg, c, ok)
		}
	})
}

// datagrams are what a netlink socket brings, cut out of data: each begins with
// its length.
func datagrams(data []byte) func() ([]syscall.NetlinkMessage, error) {
	return func() ([]syscall.NetlinkMessage, error) {
		if len(data) < 2 {
			return nil, os.ErrDeadlineExceeded
		}
		n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
		one := data[2 : 2+n]
		data = data[2+n:]
		return syscall.ParseNetlinkMessage(one)
	}
}

// datagram is what datagrams reads, of messages.
func datagram(messages ...syscall.NetlinkMessage) []byte {
	var all []byte
	for _, m := range messages {
		h := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(m.Data)))
		h = binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(h, m.Header.Type), m.Header.Flags)
		all = append(append(all, append(binary.NativeEndian.AppendUint32(h, m.Header.Seq), 0, 0, 0, 0)...), m.Data...)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(all))), all...)
}

func message(kind, flags uint16, seq uint32, data ...byte) syscall.NetlinkMessage {
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind, Flags: flags, Seq: seq}, Data: data}
}

// Whatever comes through netlink: waiting for answers ends, with one to each
// request or an error, and so does a dump.
func FuzzAsker(f *testing.F) {
	ack := func(seq uint32, errno int32) syscall.NetlinkMessage {
		return message(unix.NLMSG_ERROR, 0, seq, append(native(uint32(errno)), make([]byte, unix.SizeofNlMsghdr)...)...)
	}
	route := message(unix.RTM_NEWROUTE, unix.NLM_F_MULTI, 0, routeMessage(tunnel.Route{Dst: netip.MustParseAddr("203.0.113.5"), Unreachable: true}, 0)...)
	done := message(unix.NLMSG_DONE, unix.NLM_F_MULTI, 0, 0, 0, 0, 0)
	f.Add(slices.Concat(datagram(ack(0, 0), ack(1, -int32(unix.ESRCH))), datagram(ack(2, 0))), uint8(3))
	f.Add(slices.Concat(datagram(ack(0, 0), ack(0, 0)), datagram(ack(1, 0))), uint8(2))
	f.Add(slices.Concat(datagram(route, route), datagram(route), datagram(done)), uint8(0))
	f.Add(slices.Concat(datagram(message(unix.RTM_NEWROUTE, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, 0, 1)), datagram(done)), uint8(1))
	f.Add(datagram(message(unix.NLMSG_NOOP, 0, 0), message(unix.NLMSG_DONE, 0, 0)), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		answers := make([]int, n)
		a := &asker{receive: datagrams(data)}
		err := a.answers(int(n), func(i int, _ []byte, _ error) { answers[i]++ })
		for i, got := range answers {
			if got > 1 || err == nil && got != 1 {
				t.Errorf("%d answers to request %d (%v)", got, i, err)
			}
		}
		a.receive = datagrams(data)
		bytes := 0
		err = a.items(func(item []byte) { bytes += len(item) + unix.SizeofNlMsghdr })
		if bytes > len(data) || err == nil && bytes > len(data)-unix.SizeofNlMsghdr {
			t.Errorf("%d bytes of %d (%v)", bytes, len(data), err)
		}
	})
}

// Whatever a mail server says, the doctor's session with it ends, and is one that
// works only if it is SMTP; nothing is said to it but the few words that are to be.
func FuzzTalk(f *testing.F) {
	for _, said := range []string{
		"220-wait\r\n220 mx.bravo.example ESMTP\r\n250-mx.bravo.example\r\n250 fine\r\n250 OK\r\n221 Bye\r\n", "220 x\r\n250 x\r\n500 line too long\r\n", "554 no\r\n", "SSH-2.0-OpenSSH\r\n",
		"220 \x1b]0;x\x07\r\n250 \xff\x00\r\n", "220\n250\n250\n", "220-" + strings.Repeat("\r\n220-", 150), strings.Repeat("2", 1000), "", "\r\n",
	} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		heard := make(chan []string, 1)
		go func() {
			go func() { // it hangs up when it has said all, or we did
				_, _ = theirs.Write(said)
				theirs.Close()
			}()
			var lines []string
			for s := bufio.NewScanner(theirs); s.Scan(); {
				lines = append(lines, s.Text())
			}
			heard <- lines
		}()
		var p doctor.Proof
		err := prover{name: "mx.alpha.example", full: 1500}.talk(ours, &p)
		ours.Close()
		lines := <-heard
		want := []string{"EHLO mx.alpha.example", "NOOP " + strings.Repeat("x", 1500), "QUIT"}
		if len(lines) > len(want) || !slices.Equal(lines, want[:len(lines)]) {
			t.Errorf("it said %q", lines)
		}
		if err == nil && !strings.HasPrefix(p.Greeting, "220") || p.Large && !p.LargeDone || p.LargeDone && err != nil || len(p.Greeting) > maxSaid {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// Whatever this host's tools and files say: what is read of them is there.
func FuzzWords(f *testing.F) {
	for _, words := range []string{
		allZones, "Added user rules (see 'ufw status' for running firewall):\nufw deny 51825/udp\nufw allow 51825/udp comment 'x'\n", "\u0085\n x: y\n", "a\n target: ACCEPT\n\u2003services: smtp\n",
		"table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n",
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0A0200C0:0019 050071CB:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n",
		"   1: 0000000000000000FFFF00000A0200C0:0019 B80D0120000000000000000001000000:C001 0A 0:0 0:0 0 0 0 7\n",
	} {
		f.Add(words)
	}
	ports := []uint16{25, 465, 587}
	w := wanted{port: 51825, link: "postroad0", smtp: ports, wires: []string{"eth0"}, mail: []netip.Addr{netip.MustParseAddr("198.51.100.20")}}
	filter := table{family: nftables.TableFamilyINet, name: "filter", input: "input"}
	f.Fuzz(func(t *testing.T, words string) {
		z := zones{all: parseZones(words), fallback: "public"}
		for _, zone := range z.all {
			if zone.name == "" || !strings.Contains(words, zone.name) || zone.target == "ACCEPT" && zone.shut(51825) || len(zone.takes(ports)) > len(ports) {
				t.Errorf("%q has the zone %+v", words, zone)
			}
		}
		if len(z.open(w)) == 0 || z.of("eth0") == "" {
			t.Errorf("%q: nothing is to be opened", words)
		}
		if got := ufwAllow(words, "51825/udp"); !strings.HasPrefix(got, "ufw ") || ufwShut(words, 51825) && strings.Contains(words, "\nufw allow 51825\n") {
			t.Errorf("%q: %s", words, got)
		}
		if n := placeOf(words, filter, "input"); n > 0 && !strings.Contains(strings.Split(words, "\n")[n-1], "hook") {
			t.Errorf("%q: line %d", words, n)
		}
		for _, s := range parseSockets(strings.NewReader(words)) {
			if !s.local.Addr().IsValid() || s.local.Addr().Is4In6() || !strings.Contains(words, s.inode) {
				t.Errorf("%q has the socket %+v", words, s)
			}
		}
	})
}
