package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"postroad/scripts/lab"
)

// An attacker is on the wire between the hosts, where he sees and sends all he
// likes: he is the router.
type attacker struct {
	*road
	taps map[*lab.Site]*lab.Tap // his ends of the wires
}

func newAttacker(ctx context.Context, t *testing.T, r *road) *attacker {
	t.Helper()
	a := &attacker{road: r, taps: map[*lab.Site]*lab.Tap{}}
	for _, s := range r.Sites() {
		tap, err := s.Link.Tap(ctx)
		must(t, err)
		t.Cleanup(func() { check(t, tap.Close()) })
		a.taps[s] = tap
	}
	return a
}

// ethernet is the header of a frame from the router to a host.
func (a *attacker) ethernet(to *lab.Site, v6 bool) *layers.Ethernet {
	e := &layers.Ethernet{SrcMAC: a.taps[to].Hardware, DstMAC: a.taps[to].Far, EthernetType: layers.EthernetTypeIPv4}
	if v6 {
		e.EthernetType = layers.EthernetTypeIPv6
	}
	return e
}

// ip is a header from an address to a host.
func ip(from netip.Addr, to *lab.Site, protocol layers.IPProtocol) gopacket.SerializableLayer {
	if from.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: from.AsSlice(), DstIP: to.IPv4.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: from.AsSlice(), DstIP: to.IPv6.AsSlice()}
}

// bytesOf puts layers together, with their lengths and checksums.
func bytesOf(t *testing.T, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, p := range parts {
		if n, ok := p.(gopacket.NetworkLayer); ok {
			network = n
		}
		if s, ok := p.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			must(t, s.SetNetworkLayerForChecksum(network))
		}
	}
	b := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...))
	return b.Bytes()
}

// sealedFrame takes one of the tunnels' IPv4 packets apart; ok is false if a frame is none.
func sealedFrame(frame []byte) (_ *layers.IPv4, _ *layers.UDP, ok bool) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	udp, _ := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	ok = ip != nil && udp != nil && (udp.SrcPort == lab.TunnelPort || udp.DstPort == lab.TunnelPort) && len(udp.Payload) > 0
	return ip, udp, ok
}

// listenIn returns what crosses the wires to the sites of the road while f runs:
// the tunnels' packets, by the host that they are for.
func (a *attacker) listenIn(t *testing.T, f func()) map[*lab.Site][][]byte {
	t.Helper()
	sites, seen := []*lab.Site{a.Alpha, a.Bravo}, map[*lab.Site][][]byte{}
	for _, s := range sites {
		a.skip(t, s)
	}
	f()
	for _, s := range sites {
		for {
			frame, err := a.taps[s].Next(200 * time.Millisecond)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			must(t, err)
			if ip, _, ok := sealedFrame(frame); ok && ip.DstIP.Equal(s.IPv4.AsSlice()) {
				seen[s] = append(seen[s], frame)
			}
		}
	}
	return seen
}

// skip forgets what was on a wire until now.
func (a *attacker) skip(t *testing.T, s *lab.Site) {
	t.Helper()
	for {
		switch _, err := a.taps[s].Next(time.Millisecond); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		default:
			must(t, err)
		}
	}
}

// What an attacker does with the tunnels' packets that he has seen: each returns a
// frame to send to the host that the packet was for, or, if it is to go back, to
// the other one.
var replays = []struct {
	name  string
	back  bool
	alter func(a *attacker, t *testing.T, to *lab.Site, frame []byte) []byte
}{
	{"as they were", false, func(_ *attacker, _ *testing.T, _ *lab.Site, frame []byte) []byte { return frame }},
	{"with a bit altered", false, func(a *attacker, t *testing.T, to *lab.Site, frame []byte) []byte {
		ip, udp, _ := sealedFrame(frame)
		data := append([]byte(nil), udp.Payload...)
		data[rand.IntN(len(data))] ^= 1 << rand.IntN(8)
		return bytesOf(t, a.ethernet(to, false), ip, udp, gopacket.Payload(data))
	}},
	{"cut short", false, func(a *attacker, t *testing.T, to *lab.Site, frame []byte) []byte {
		ip, udp, _ := sealedFrame(frame)
		return bytesOf(t, a.ethernet(to, false), ip, udp, gopacket.Payload(udp.Payload[:rand.IntN(len(udp.Payload))]))
	}},
	{"from himself", false, func(a *attacker, t *testing.T, to *lab.Site, frame []byte) []byte {
		ip, udp, _ := sealedFrame(frame)
		ip.SrcIP, udp.SrcPort = net.IP{203, 0, 113, 66}, 6666
		return bytesOf(t, a.ethernet(to, false), ip, udp, gopacket.Payload(udp.Payload))
	}},
	{"back to where they came from", true, func(a *attacker, t *testing.T, to *lab.Site, frame []byte) []byte {
		ip, udp, _ := sealedFrame(frame)
		ip.SrcIP, ip.DstIP = ip.DstIP, ip.SrcIP
		to = a.other(to)
		return bytesOf(t, a.ethernet(to, false), ip, udp, gopacket.Payload(udp.Payload))
	}},
}

func (a *attacker) other(s *lab.Site) *lab.Site {
	if s == a.Alpha {
		return a.Bravo
	}
	return a.Alpha
}

// Who records a handshake and mail, and sends it all again, whole or altered, from
// where it came or from elsewhere, changes nothing: no session ends, no endpoint
// moves, no message comes twice.
func TestAttackReplay(t *testing.T) {
	ctx, r := newRoad(t)
	a := newAttacker(ctx, t, r)
	alpha, bravo := postfix(ctx, t, r.Alpha, lab.PreferIPv4), postfix(ctx, t, r.Bravo, lab.PreferIPv4)
	none := watch(ctx, t, r.Standard)
	seen := a.listenIn(t, func() {
		must(t, r.alpha.Kill())
		must(t, r.alpha.Start(ctx))
		must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
		arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.IPv4)
	})
	types := map[byte]int{}
	for _, frames := range seen {
		for _, f := range frames {
			_, udp, _ := sealedFrame(f)
			types[udp.Payload[0]]++
		}
	}
	if types[1] == 0 || types[2] == 0 || types[4] < 20 { // initiation, response, transport data (whitepaper, 5.4)
		t.Fatalf("he has seen no handshake with mail: %v", types)
	}
	endpoint := func(p *lab.Postroad, of *lab.Site) string {
		s, err := p.Peer(ctx, of.Name)
		must(t, err)
		return s.Endpoint
	}
	for _, way := range replays {
		t.Run(way.name, func(t *testing.T) {
			for range 3 {
				for s, frames := range seen {
					for _, f := range frames {
						f = way.alter(a, t, s, append([]byte(nil), f...))
						to := s
						if way.back {
							to = a.other(s)
						}
						must(t, a.taps[to].Send(f))
					}
				}
			}
			arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.IPv4)
			arrives(ctx, t, bravo, "bob@bravo.example", alpha, "alice@alpha.example", r.Bravo.IPv4)
			for p, of := range map[*lab.Postroad]*lab.Site{r.alpha: r.Bravo, r.bravo: r.Alpha} {
				if got, want := endpoint(p, of), fmt.Sprintf("%s:%d", of.IPv4, lab.TunnelPort); got != want {
					t.Errorf("%s takes %s for the endpoint of %s, not %s", p.Site.Name, got, of.Name, want)
				}
			}
		})
	}
	none()
	for user, p := range map[string]*lab.Postfix{"bob": bravo, "alice": alpha} {
		mails, err := p.Mailbox(user)
		must(t, err)
		if want := len(replays) + map[string]int{"bob": 1}[user]; len(mails) != want {
			t.Errorf("%s has %d messages, not %d", user, len(mails), want)
		}
	}
}

// Mail goes on through the tunnel, though an attacker bends routes as far as ICMP
// and neighbour discovery have it: what he makes of the host's ways, SMTP with a
// peer does not take them. What he says works: said of a host that is no peer, it
// does bend the way there.
func TestAttackBendsRoutes(t *testing.T) {
	ctx, r := newRoad(t)
	a := newAttacker(ctx, t, r)
	for _, s := range []*lab.Site{r.Alpha, r.Bravo} {
		run(ctx, t, s.Host, "sh", "-ec", `cd /proc/sys/net
			for c in all default eth0; do
				echo 1 >ipv4/conf/$c/accept_redirects; echo 0 >ipv4/conf/$c/secure_redirects; echo 1 >ipv6/conf/$c/accept_redirects
				echo 2 >ipv6/conf/$c/accept_ra; echo 128 >ipv6/conf/$c/accept_ra_rt_info_max_plen || true
			done`)
	}
	// He answers ARP, too: a redirect to who does not is not followed.
	run(ctx, t, r.Alpha.Host, "ip", "neighbour", "replace", "192.0.2.66", "lladdr", a.taps[r.Alpha].Hardware.String(), "dev", "eth0")
	alpha, bravo := postfix(ctx, t, r.Alpha), postfix(ctx, t, r.Bravo)
	none := watch(ctx, t, r.Standard)
	for _, v6 := range []bool{false, true} {
		ofCharlie := a.lies(t, r.Charlie, v6)
		for i, told := range a.lies(t, r.Bravo, v6) {
			t.Run(fmt.Sprintf("%s, v6=%v", told.name, v6), func(t *testing.T) {
				run(ctx, t, r.Alpha.Host, "ip", "route", "flush", "cache") // what IPv4 has believed so far
				if told.bends != "" {
					a.bend(ctx, t, ofCharlie[i], v6)
				}
				a.tell(t, told)
				must(t, alpha.Set(ctx, route(r.Bravo, v6, 25)...))
				must(t, bravo.Set(ctx, route(r.Alpha, v6, 25)...))
				arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.Addr(v6))
				arrives(ctx, t, bravo, "bob@bravo.example", alpha, "alice@alpha.example", r.Bravo.Addr(v6))
				way, err := a.way(ctx, r.Bravo, v6)
				must(t, err)
				if !strings.Contains(way, "dev postroad0") || told.bends != "" && strings.Contains(way, told.bends) {
					t.Errorf("the way to bravo is bent: %s", way)
				}
			})
		}
	}
	none()
}

// A lie is what an attacker tells alpha of its way to a host.
type lie struct {
	name   string
	frames [][]byte
	bends  string // what ip(8) says of that way then; empty if it does not show there
}

func (a *attacker) tell(t *testing.T, l lie) {
	t.Helper()
	for _, f := range l.frames {
		must(t, a.taps[a.Alpha].Send(f))
	}
}

// bend shows that a lie works: told of charlie, who is no peer, it bends the way there.
func (a *attacker) bend(ctx context.Context, t *testing.T, told lie, v6 bool) {
	t.Helper()
	way, err := a.way(ctx, a.Charlie, v6)
	must(t, err)
	if strings.Contains(way, told.bends) {
		t.Fatalf("the way is bent before: %s", way)
	}
	a.tell(t, told)
	must(t, lab.Eventually(ctx, 5*time.Second, "the way to a host that is no peer to be bent", func() error {
		way, err := a.way(ctx, a.Charlie, v6)
		if err == nil && !strings.Contains(way, told.bends) {
			err = fmt.Errorf("no %q: nothing is shown: %s", told.bends, way)
		}
		return err
	}))
}

// way is alpha's for SMTP to a host.
func (a *attacker) way(ctx context.Context, to *lab.Site, v6 bool) (string, error) {
	return a.Alpha.Run(ctx, "ip", "route", "get", to.Addr(v6).String(), "ipproto", "tcp", "dport", "25")
}

// lies are what an attacker tells alpha of its ways to a host. Of most he says that
// they are about an echo reply, for which the kernel asks no socket whether it is true.
func (a *attacker) lies(t *testing.T, to *lab.Site, v6 bool) []lie {
	t.Helper()
	if v6 {
		return a.lies6(t, to)
	}
	return a.lies4(t, to)
}

func (a *attacker) lies4(t *testing.T, to *lab.Site) []lie {
	t.Helper()
	about := func(kind, code uint8, more [4]byte, protocol layers.IPProtocol, what gopacket.SerializableLayer) [][]byte {
		quoted := bytesOf(t, &layers.IPv4{Version: 4, TTL: 63, Protocol: protocol, SrcIP: a.Alpha.IPv4.AsSlice(), DstIP: to.IPv4.AsSlice()}, what, gopacket.Payload("quoted words"))
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, code), Id: uint16(more[0])<<8 | uint16(more[1]), Seq: uint16(more[2])<<8 | uint16(more[3])}
		return [][]byte{bytesOf(t, a.ethernet(a.Alpha, false), ip(netip.MustParseAddr("192.0.2.1"), a.Alpha, layers.IPProtocolICMPv4), icmp, gopacket.Payload(quoted))}
	}
	const redirect, unreachable, quench = layers.ICMPv4TypeRedirect, layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4TypeSourceQuench
	const icmp, udp, tcp = layers.IPProtocolICMPv4, layers.IPProtocolUDP, layers.IPProtocolTCP
	echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0)}
	tunnel := &layers.UDP{SrcPort: lab.TunnelPort, DstPort: lab.TunnelPort}
	smtp := &layers.TCP{SrcPort: 40000, DstPort: 25, SYN: true, Seq: 1, Window: 1000}
	via, bytes600 := [4]byte{192, 0, 2, 66}, [4]byte{0, 0, 2, 88}
	return []lie{
		{"redirect", about(redirect, layers.ICMPv4CodeHost, via, icmp, echo), "via 192.0.2.66"},
		{"redirect of the tunnel", about(redirect, layers.ICMPv4CodeHost, via, udp, tunnel), "via 192.0.2.66"},
		{"redirect of SMTP", about(redirect, layers.ICMPv4CodeHost, via, tcp, smtp), ""},
		{"too big", about(unreachable, layers.ICMPv4CodeFragmentationNeeded, bytes600, icmp, echo), "mtu 600"},
		{"too big, it says of the tunnel", about(unreachable, layers.ICMPv4CodeFragmentationNeeded, bytes600, udp, tunnel), "mtu 600"},
		{"too big, it says of SMTP", about(unreachable, layers.ICMPv4CodeFragmentationNeeded, bytes600, tcp, smtp), ""},
		{"unreachable, it says of the tunnel", about(unreachable, layers.ICMPv4CodePort, [4]byte{}, udp, tunnel), ""},
		{"unreachable, it says of SMTP", about(unreachable, layers.ICMPv4CodePort, [4]byte{}, tcp, smtp), ""},
		{"source quench, as of old", about(quench, 0, [4]byte{}, tcp, smtp), ""},
	}
}

func (a *attacker) lies6(t *testing.T, to *lab.Site) []lie {
	t.Helper()
	liar, friend := netip.MustParseAddr("fe80::bad"), netip.MustParseAddr("fe80::bad:f")
	neighbour := func(dst string, kind uint8, body gopacket.SerializableLayer) []byte {
		addr := netip.MustParseAddr(dst)
		e := a.ethernet(a.Alpha, true)
		if addr.IsMulticast() {
			e.DstMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
		}
		return bytesOf(t, e, &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: liar.AsSlice(), DstIP: addr.AsSlice()},
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}, body)
	}
	advertisement := neighbour("ff02::1", layers.ICMPv6TypeRouterAdvertisement, &layers.ICMPv6RouterAdvertisement{
		HopLimit: 64, Flags: 0x08, RouterLifetime: 1800, Options: layers.ICMPv6Options{
			{Type: layers.ICMPv6OptSourceAddress, Data: a.taps[a.Alpha].Hardware},
			{Type: layers.ICMPv6Opt(24), // RFC 4191, section 2.3: a /128, preference high, for an hour
				Data: append([]byte{128, 0x08, 0, 0, 0x0e, 0x10}, to.IPv6.AsSlice()...)},
		}})
	redirect := neighbour(a.Alpha.IPv6.String(), layers.ICMPv6TypeRedirect, &layers.ICMPv6Redirect{TargetAddress: friend.AsSlice(), DestinationAddress: to.IPv6.AsSlice(),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: a.taps[a.Alpha].Hardware}}})
	tooBig := func(bytes byte, protocol layers.IPProtocol, what ...gopacket.SerializableLayer) []byte {
		quoted := bytesOf(t, append([]gopacket.SerializableLayer{&layers.IPv6{Version: 6, HopLimit: 63, NextHeader: protocol, SrcIP: a.Alpha.IPv6.AsSlice(), DstIP: to.IPv6.AsSlice()}}, what...)...)
		return bytesOf(t, a.ethernet(a.Alpha, true), ip(netip.MustParseAddr("2001:db8:a::1"), a.Alpha, layers.IPProtocolICMPv6),
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypePacketTooBig, 0)}, gopacket.Payload(append([]byte{0, 0, 5, bytes}, quoted...)))
	}
	echo := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoReply, 0)}
	smtp := &layers.TCP{SrcPort: 40000, DstPort: 25, SYN: true, Seq: 1, Window: 1000}
	return []lie{
		{"too big", [][]byte{tooBig(20, layers.IPProtocolICMPv6, echo, gopacket.Payload("quoted words"))}, "mtu 1300"},
		{"router advertisement", [][]byte{advertisement}, "via " + liar.String() + " dev"},
		{"redirect", [][]byte{advertisement, redirect}, "via " + friend.String() + " dev"}, // only who is the router is believed
		{"too big, it says of SMTP", [][]byte{tooBig(0, layers.IPProtocolTCP, smtp)}, ""},
	}
}

// Whoever makes mail servers believe that the other speaks no TLS, or answers in its
// place, gets mail in clear from those who are no peers, and none of ours.
func TestAttackStripsTLS(t *testing.T) {
	ctx, r := newRoad(t)
	stranger, alpha, bravo := postfix(ctx, t, r.Charlie, lab.PreferIPv4), postfix(ctx, t, r.Alpha, lab.PreferIPv4), postfix(ctx, t, r.Bravo)
	none := watch(ctx, t, r.Standard)
	imposter, err := r.Router.Sink(ctx, "0.0.0.0:2525") // it offers no STARTTLS
	must(t, err)
	run(ctx, t, r.Router, "nft", "table inet attack { chain pre { type nat hook prerouting priority -100; meta nfproto ipv4 tcp dport 25 redirect to :2525; }; }")
	_, err = stranger.Send(ctx, "carol@charlie.example", "bob@bravo.example", "from a stranger", "secret of charlie")
	must(t, err)
	must(t, lab.Eventually(ctx, 20*time.Second, "the stranger's mail in the attacker's hands", func() error {
		mails, err := imposter.Messages()
		if err == nil && (len(mails) != 1 || !strings.Contains(string(mails[0]), "secret of charlie")) {
			err = fmt.Errorf("he has %d", len(mails))
		}
		return err
	}))
	arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.IPv4)
	mails, err := imposter.Messages()
	must(t, err)
	if len(mails) != 1 {
		t.Errorf("the attacker has %d messages", len(mails))
	}
	run(ctx, t, r.Router, "nft", "delete", "table", "inet", "attack") // it would take what proves the watch, too
	none()
}

// A peer whose key is right is that peer only: what he sends with another peer's
// address as its source arrives nowhere.
func TestAttackPeerAsAnother(t *testing.T) {
	ctx, r := newRoad(t)
	listen(ctx, t, r.Alpha, "25")
	charlie, err := r.Charlie.Postroad(ctx, binary)
	must(t, err)
	must(t, r.alpha.Write("[host]", r.bravo.Block(), charlie.Block()))
	must(t, charlie.Write("[host]", r.alpha.Block()))
	_, err = r.alpha.Command(ctx, "reload")
	must(t, err)
	must(t, charlie.Start(ctx))
	must(t, charlie.WaitState(ctx, r.Alpha.Name, "protected"))
	for _, s := range []*lab.Site{r.Bravo, r.Charlie} { // so that alpha remembers whom it has answered
		run(ctx, t, s.Host, "nft", "table inet deaf { chain in { type filter hook input priority -400; tcp flags & (syn | ack) == syn | ack drop; }; }")
	}
	tunnel, err := r.Charlie.Tap("postroad0") // what is sent there, his own postroad does not see
	must(t, err)
	defer func() { check(t, tunnel.Close()) }()
	for _, v6 := range []bool{false, true} {
		before, err := charlie.Peer(ctx, r.Alpha.Name)
		must(t, err)
		const asBravo, asHimself = 41000, 41001
		for _, from := range []netip.AddrPort{netip.AddrPortFrom(r.Bravo.Addr(v6), asBravo), netip.AddrPortFrom(r.Charlie.Addr(v6), asHimself)} {
			syn := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: 25, Seq: 1000, SYN: true, Window: 64000}
			must(t, tunnel.Send(bytesOf(t, ip(from.Addr(), r.Alpha, layers.IPProtocolTCP), syn)))
		}
		var begun string
		must(t, lab.Eventually(ctx, 10*time.Second, "alpha to answer charlie", func() error {
			begun = run(ctx, t, r.Alpha.Host, "ss", "-Htn", "state", "syn-recv")
			after, err := charlie.Peer(ctx, r.Alpha.Name)
			if err == nil && (!begins(begun, 25, r.Charlie.Addr(v6), asHimself) || after.Sent < before.Sent+2*96) {
				err = fmt.Errorf("it has answered %s, and charlie has sent %d bytes", begun, after.Sent-before.Sent)
			}
			return err
		}))
		if begins(begun, 25, r.Bravo.Addr(v6), asBravo) {
			t.Errorf("charlie is taken for bravo (v6 %v): %s", v6, begun)
		}
	}
}
