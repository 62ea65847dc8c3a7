package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// A spoof is a way to begin a TCP connection in clear, in one frame or more, with a
// source address that need not be one's own.
type spoof struct {
	name string
	// answered: Linux lets it begin a connection, if nobody forbids. It takes no source routes, no first fragments without all
	// headers over IPv6 (RFC 7112), no IPv4 within IPv6 addresses.
	answered bool
	frames   func(b *spoofer, from netip.Addr, sport layers.TCPPort) [][]byte
}

// A spoofer makes the frames.
type spoofer struct {
	*attacker
	t     *testing.T
	dport layers.TCPPort
}

func (b *spoofer) syn(sport layers.TCPPort) *layers.TCP {
	return &layers.TCP{SrcPort: sport, DstPort: b.dport, Seq: 1000, SYN: true, Window: 64000}
}

// frame is what makes a connection begin, behind extension headers (RFC 8200,
// section 4) if there are any. Each is given as its number and what follows its
// first two octets; its length is that of this.
func (b *spoofer) frame(from netip.Addr, sport layers.TCPPort, extensions ...extension) []byte {
	to := b.Alpha
	if from.Is4() {
		return bytesOf(b.t, b.ethernet(to, false), ip(from, to, layers.IPProtocolTCP), b.syn(sport))
	}
	plain := bytesOf(b.t, b.ethernet(to, true), ip(from, to, layers.IPProtocolTCP), b.syn(sport))
	header, segment := slices.Clip(plain[:14+40]), plain[14+40:]
	next, chain := byte(layers.IPProtocolTCP), []byte(nil)
	for i := len(extensions) - 1; i >= 0; i-- {
		e := extensions[i]
		part := append([]byte{next, byte((2+len(e.body))/8 - 1)}, e.body...)
		if e.number == fragment {
			part[1] = 0 // reserved there: its length is fixed
		}
		next, chain = e.number, append(part, chain...)
	}
	header[14+6] = next
	size := len(chain) + len(segment)
	header[14+4], header[14+5] = byte(size>>8), byte(size)
	return append(append(header, chain...), segment...)
}

type extension struct {
	number byte
	body   []byte
}

// Extension headers' numbers.
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

var padding = []byte{1, 4, 0, 0, 0, 0} // PadN

// withOptions puts options in an IPv4 header.
func (b *spoofer) withOptions(from netip.Addr, sport layers.TCPPort, options ...layers.IPv4Option) [][]byte {
	header := ip(from, b.Alpha, layers.IPProtocolTCP).(*layers.IPv4)
	header.Options = options
	return [][]byte{bytesOf(b.t, b.ethernet(b.Alpha, false), header, b.syn(sport))}
}

// inFragments cuts the segment, which has a word of data, after so many octets:
// after 8 there are ports and no flags.
func (b *spoofer) inFragments(from netip.Addr, sport layers.TCPPort, cut int, order ...int) (frames [][]byte) {
	v6, header := from.Is6(), ip(from, b.Alpha, layers.IPProtocolTCP)
	whole := bytesOf(b.t, header, b.syn(sport), gopacket.Payload("some word"))
	segment := whole[len(whole)-20-len("some word"):]
	cuts := [][]byte{segment[:cut], segment[cut:]}
	for _, i := range order {
		if v6 {
			words := []byte{byte(layers.IPProtocolTCP), 0, 0, byte(i*cut | 1 - i), 0, 0, byte(sport >> 8), byte(sport)}
			frames = append(frames, bytesOf(b.t, b.ethernet(b.Alpha, true), ip(from, b.Alpha, fragment), gopacket.Payload(append(words, cuts[i]...))))
			continue
		}
		header := ip(from, b.Alpha, layers.IPProtocolTCP).(*layers.IPv4)
		header.Id, header.FragOffset = uint16(sport), uint16(i*cut/8)
		if i == 0 {
			header.Flags = layers.IPv4MoreFragments
		}
		frames = append(frames, bytesOf(b.t, b.ethernet(b.Alpha, false), header, gopacket.Payload(cuts[i])))
	}
	return frames
}

// spoofs are those over either family.
var spoofs = []spoof{
	{"plainly", true, extended()},
	{"in fragments", true, cut(24, 0, 1)},
	{"in fragments, the last first", true, cut(24, 1, 0)},
}

var spoofs4 = []spoof{
	{"in fragments, the first without flags", true, cut(8, 0, 1)},
	{"with padding options", true, func(b *spoofer, from netip.Addr, sport layers.TCPPort) [][]byte {
		nop := layers.IPv4Option{OptionType: 1, OptionLength: 1}
		return b.withOptions(from, sport, nop, nop, nop, nop)
	}},
	{"recording its route", true, func(b *spoofer, from netip.Addr, sport layers.TCPPort) [][]byte {
		return b.withOptions(from, sport, layers.IPv4Option{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}})
	}},
	{"with a source route behind it", false, func(b *spoofer, from netip.Addr, sport layers.TCPPort) [][]byte {
		return b.withOptions(from, sport, layers.IPv4Option{OptionType: 131, OptionLength: 7, OptionData: []byte{8, 192, 0, 2, 1}})
	}},
}

var spoofs6 = []spoof{
	{"in fragments, the first without flags", false, cut(8, 0, 1)},
	{"in one fragment", true, extended(extension{fragment, []byte{0, 0, 1, 2, 3, 4}})},
	{"hop by hop", true, extended(extension{hopByHop, padding})},
	{"with destination options", true, extended(extension{destination, padding})},
	{"with all of them", true, extended(extension{hopByHop, padding}, extension{destination, padding}, extension{fragment, []byte{0, 0, 1, 2, 3, 5}}, extension{destination, padding})},
	{"with a route behind it", true, extended(extension{routing, make([]byte, 6)})},
	{"with the home address of a mobile node", false, func(b *spoofer, from netip.Addr, sport layers.TCPPort) [][]byte {
		// RFC 6275, section 6.3: the packet comes from elsewhere, and its source is to be taken for this one.
		body := append([]byte{1, 2, 0, 0, 201, 16}, from.AsSlice()...)
		return [][]byte{b.frame(netip.MustParseAddr("2001:db8:c::99"), sport, extension{destination, body})}
	}},
	{"as IPv4 within", false, func(b *spoofer, from netip.Addr, sport layers.TCPPort) [][]byte {
		old := map[netip.Addr]netip.Addr{b.Bravo.IPv6: b.Bravo.IPv4, b.Charlie.IPv6: b.Charlie.IPv4}[from].As4()
		return [][]byte{b.frame(netip.AddrFrom16(netip.AddrFrom4(old).As16()), sport)} // ::ffff:198.51.100.20
	}},
}

func cut(after int, order ...int) func(*spoofer, netip.Addr, layers.TCPPort) [][]byte {
	return func(b *spoofer, from netip.Addr, sport layers.TCPPort) [][]byte {
		return b.inFragments(from, sport, after, order...)
	}
}

func extended(extensions ...extension) func(*spoofer, netip.Addr, layers.TCPPort) [][]byte {
	return func(b *spoofer, from netip.Addr, sport layers.TCPPort) [][]byte {
		return [][]byte{b.frame(from, sport, extensions...)}
	}
}

// Nobody begins a connection in clear with a peer's address as his own, to any of
// SMTP's ports or from one, whatever is around the segment. From the address of a
// host that is no peer the same frames do.
func TestAttackSpoofsPeer(t *testing.T) {
	ctx, r := newRoad(t)
	a := newAttacker(ctx, t, r)
	for _, port := range []string{"25", "465", "587", "4000"} {
		listen(ctx, t, r.Alpha, port)
	}
	// Answers get nowhere, so that alpha remembers whom it has answered.
	for _, s := range []*lab.Site{r.Bravo, r.Charlie} {
		run(ctx, t, s.Host, "nft", "table inet deaf { chain in { type filter hook input priority -400; tcp flags & (syn | ack) == syn | ack drop; }; }")
	}
	for _, v6 := range []bool{false, true} {
		ways := spoofs4
		if v6 {
			ways = spoofs6
		}
		for i, way := range slices.Concat(spoofs, ways) {
			for _, ports := range []struct{ from, to layers.TCPPort }{{0, 25}, {0, 465}, {0, 587}, {25, 4000}} {
				name := fmt.Sprintf("v6=%v/%s/%d to %d", v6, way.name, ports.from, ports.to)
				t.Run(name, func(t *testing.T) {
					b, sport := &spoofer{a, t, ports.to}, ports.from
					if sport == 0 {
						sport = layers.TCPPort(40000 + 10*i)
					}
					for _, s := range []*lab.Site{r.Bravo, r.Charlie} {
						for _, f := range way.frames(b, s.Addr(v6), sport) {
							must(t, a.taps[r.Alpha].Send(f))
						}
					}
					// What is sent after them is answered after them.
					last := layers.TCPPort(50000 + 10*i)
					must(t, a.taps[r.Alpha].Send(b.frame(r.Charlie.Addr(v6), last)))
					var begun string
					must(t, lab.Eventually(ctx, 10*time.Second, "alpha to answer the last one", func() error {
						begun = run(ctx, t, r.Alpha.Host, "ss", "-Htn", "state", "syn-recv")
						if !begins(begun, ports.to, r.Charlie.Addr(v6), last) {
							return fmt.Errorf("it has answered %s", begun)
						}
						return nil
					}))
					for _, addr := range []netip.Addr{r.Bravo.Addr(v6), r.Bravo.IPv4} {
						if begins(begun, ports.to, addr, sport) {
							t.Errorf("alpha has answered whom it takes for bravo: %s", begun)
						}
					}
					if got := begins(begun, ports.to, r.Charlie.Addr(v6), sport); got != way.answered {
						t.Errorf("that alpha answers such a packet from charlie: %v, want %v: %s", got, way.answered, begun)
					}
					run(ctx, t, r.Alpha.Host, "ss", "-K", "state", "syn-recv")
				})
			}
		}
	}
}

// begins says whether ss(8) lists a connection that has just begun.
func begins(list string, to layers.TCPPort, from netip.Addr, sport layers.TCPPort) bool {
	for line := range strings.Lines(list) {
		f := strings.Fields(strings.NewReplacer("[::ffff:", "", "[", "", "]", "").Replace(line))
		if len(f) >= 4 && strings.HasSuffix(f[2], fmt.Sprintf(":%d", to)) && f[3] == fmt.Sprintf("%s:%d", from, sport) {
			return true
		}
	}
	return false
}

// Who knows the numbers of a connection that is open in the tunnel can neither put
// a word into it nor end it from outside. Into one that no peer has he can.
func TestAttackInjects(t *testing.T) {
	ctx, r := newRoad(t)
	a := newAttacker(ctx, t, r)
	for _, v6 := range []bool{false, true} {
		for _, from := range []*lab.Site{r.Charlie, r.Bravo} {
			t.Run(fmt.Sprintf("%s, v6=%v", from.Name, v6), func(t *testing.T) {
				device := "eth0"
				if from == r.Bravo {
					device = "postroad0"
				}
				at, err := r.Alpha.Tap(device)
				must(t, err)
				defer func() { check(t, at.Close()) }()
				listener, err := r.Alpha.Start("sh", "-c", "exec nc -n -l 25 >/run/got"+map[bool]string{false: "", true: " -6"}[v6])
				must(t, err)
				must(t, lab.Eventually(ctx, 5*time.Second, "the listener", func() error { return r.Alpha.Listening(25) }))
				client, err := from.Start("bash", "-ec", fmt.Sprintf("rm -f /run/go; exec 3<>/dev/tcp/%s/25; echo first >&3; while [ ! -e /run/go ]; do sleep 0.05; done; echo last >&3", r.Alpha.Addr(v6)))
				must(t, err)
				port, seq, ack := numbers(t, at, from.Addr(v6))
				word := "injected\n"
				for _, s := range []*layers.TCP{
					{SrcPort: port, DstPort: 25, Seq: seq, Ack: ack, ACK: true, PSH: true, Window: 500},
					{SrcPort: port, DstPort: 25, Seq: seq, RST: true},
				} {
					if from == r.Charlie && s.RST {
						continue // the control is to show that words get in
					}
					must(t, a.taps[r.Alpha].Send(bytesOf(t, a.ethernet(r.Alpha, v6), ip(from.Addr(v6), r.Alpha, layers.IPProtocolTCP), s, gopacket.Payload(word))))
				}
				want := "first\ninjected\n"
				if from == r.Bravo {
					want = "first\nlast\n"
					must(t, from.WriteFile("/run/go", nil, 0o644))
					must(t, client.Wait(ctx))
				}
				must(t, lab.Eventually(ctx, 5*time.Second, "all to arrive", func() error {
					got, err := r.Alpha.ReadFile("/run/got")
					if err == nil && string(got) != want {
						err = fmt.Errorf("%q, want %q", got, want)
					}
					return err
				}))
				for _, p := range []*lab.Proc{client, listener} {
					select {
					case <-p.Exited():
					default:
						must(t, p.Kill())
					}
				}
			})
		}
	}
}

// numbers waits for the first word of a connection to alpha, and for its
// acknowledgement, and says what an attacker would have to know: the port, and the
// numbers that the client's next segment has.
func numbers(t *testing.T, at *lab.Tap, from netip.Addr) (port layers.TCPPort, seq, ack uint32) {
	t.Helper()
	begin := layers.LayerTypeIPv4
	if from.Is6() {
		begin = layers.LayerTypeIPv6
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		frame, err := at.Next(time.Until(deadline))
		must(t, err)
		first := gopacket.Decoder(begin)
		if at.Hardware != nil {
			first = layers.LayerTypeEthernet
		}
		p := gopacket.NewPacket(frame, first, gopacket.NoCopy)
		tcp, _ := p.TransportLayer().(*layers.TCP)
		if tcp == nil || p.NetworkLayer() == nil {
			continue
		}
		src, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
		if src == from && tcp.DstPort == 25 && string(tcp.Payload) == "first\n" {
			return tcp.SrcPort, tcp.Seq + uint32(len(tcp.Payload)), tcp.Ack
		}
	}
}

// Only root reads what is secret, and nobody else changes what the daemon goes by
// or talks to WireGuard, not even the members of the group postroad.
func TestAttackFromWithin(t *testing.T) {
	ctx, r := newRoad(t)
	run(ctx, t, r.Alpha.Host, "sh", "-c", "grep -q ^postroad: /etc/group || echo postroad:x:2525: >>/etc/group")
	must(t, r.alpha.Stop(ctx, unix.SIGTERM))
	must(t, r.alpha.Start(ctx))
	must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
	root, member, stranger := users(ctx, t, r.Alpha.Host)
	files := strings.Fields(run(ctx, t, r.Alpha.Host, "find", "/etc/postroad", "/run/postroad", "/run/wireguard", "/var/lib/postroad"))
	t.Logf("files: %s", files)
	if len(files) < 6 {
		t.Fatalf("only %s are there", files)
	}
	for _, u := range []user{member, stranger} {
		for _, file := range files {
			if out, err := u.runs(ctx, r.Alpha.Host, "test ! -w "+file); err != nil && file != "/run/postroad/control.sock" {
				t.Errorf("%s may write %s: %s", u.name, file, out)
			}
		}
		for what, command := range map[string]string{
			"the private key":       "cat " + lab.KeyFile,
			"the daemon's memory":   fmt.Sprintf("head -c1 /proc/%s/mem", run(ctx, t, r.Alpha.Host, "pgrep", "-o", "-x", "postroad")),
			"the daemon's files":    fmt.Sprintf("ls /proc/%s/fd/", run(ctx, t, r.Alpha.Host, "pgrep", "-o", "-x", "postroad")),
			"the saved state":       "ls /var/lib/postroad",
			"WireGuard's socket":    "nc -w 1 -U /run/wireguard/postroad0.sock </dev/null",
			"WireGuard's interface": "wg show postroad0 private-key",
			"the link":              "ip link set postroad0 down",
			"the rules":             "ip rule flush",
			"the guard":             "nft flush ruleset",
			"the peers file":        "cp /dev/null " + lab.PeersFile,
		} {
			if out, err := u.runs(ctx, r.Alpha.Host, command); err == nil {
				t.Errorf("%s gets at %s: %s", u.name, what, out)
			}
			if out, err := root.runs(ctx, r.Alpha.Host, "command -v "+strings.Fields(command)[0]); err != nil {
				t.Errorf("%s cannot be tried: %s", what, out)
			}
		}
	}
	must(t, inPlace(ctx, r.alpha))
}
