package e2e

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	endian "encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.zx2c4.com/wireguard/device"

	"postroad/scripts/lab"
)

// A host that has made a handshake while its clock was an hour ahead, and has lost
// its sessions since, is refused by its peer: the peer notices, and calls it.
func TestHostThatWasAheadIsCalledBack(t *testing.T) {
	ctx, r := newRoad(t, "mtu = 1400") // nothing is measured: what is sent for that would wake WireGuard, too
	tap, err := r.Router.Tap(r.Bravo.Link.RouterInterface)
	must(t, err)
	defer func() { check(t, tap.Close()) }()
	tap.Far, err = net.ParseMAC(run(ctx, t, r.Bravo.Host, "cat", "/sys/class/net/eth0/address"))
	must(t, err)
	a := &attacker{road: r, taps: map[*lab.Site]*lab.Tap{r.Bravo: tap}}
	none := watch(ctx, t, r.Standard)
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v", v6), func(t *testing.T) {
			bringsTime(ctx, t, a, v6)
			must(t, r.alpha.Start(ctx))
			must(t, lab.Eventually(ctx, 15*time.Second, "alpha to be let in", func() error {
				p, err := r.alpha.Peer(ctx, r.Bravo.Name)
				if err == nil && p.LastHandshake.IsZero() {
					err = fmt.Errorf("it is %s: %s", p.State, p.Reason)
				}
				return err
			}))
			must(t, r.bravo.WaitState(ctx, r.Alpha.Name, "protected"))
		})
	}
	none()
}

// bringsTime ends alpha's daemon and sessions, and has bravo take a handshake of
// alpha's that was begun at a time which is to come.
func bringsTime(ctx context.Context, t *testing.T, a *attacker, v6 bool) {
	t.Helper()
	must(t, a.alpha.Kill())
	run(ctx, t, a.Alpha.Host, "sh", "-c", "ip link delete postroad0 2>/dev/null || true") // the kernel's stays
	a.skip(t, a.Bravo)
	udp := &layers.UDP{SrcPort: lab.TunnelPort, DstPort: lab.TunnelPort}
	call := callAt(t, a.alpha, a.bravo, time.Now().Add(time.Hour))
	must(t, a.taps[a.Bravo].Send(bytesOf(t, a.ethernet(a.Bravo, v6), ip(a.Alpha.Addr(v6), a.Bravo, layers.IPProtocolUDP), udp, gopacket.Payload(call))))
	const responseType, responseSize = 2, 92
	for deadline := time.Now().Add(5 * time.Second * lab.Patience()); ; {
		frame, err := a.taps[a.Bravo].Next(time.Until(deadline))
		if err != nil {
			t.Fatalf("bravo has not taken the handshake: %v", err)
		}
		udp, _ := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy).Layer(layers.LayerTypeUDP).(*layers.UDP)
		if udp != nil && udp.SrcPort == lab.TunnelPort && len(udp.Payload) == responseSize && udp.Payload[0] == responseType {
			return
		}
	}
}

// callAt is the first message of a handshake from one host to another, as the
// first would make it at that time (whitepaper, section 5.4.2).
func callAt(t *testing.T, from, to *lab.Postroad, at time.Time) []byte {
	t.Helper()
	text, err := from.Site.ReadFile(lab.KeyFile)
	must(t, err)
	static := privateKey(t, string(text))
	public, err := base64.StdEncoding.DecodeString(to.Key)
	must(t, err)
	theirs, err := ecdh.X25519().NewPublicKey(public)
	must(t, err)
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	must(t, err)

	chain, hash := device.InitialChainKey, device.InitialHash
	mix := func(data []byte) { hash = blake2s.Sum256(append(hash[:], data...)) }
	seal := func(key *ecdh.PrivateKey, plain []byte) []byte {
		shared, err := key.ECDH(theirs)
		must(t, err)
		var k [chacha20poly1305.KeySize]byte
		device.KDF2(&chain, &k, chain[:], shared)
		aead, err := chacha20poly1305.New(k[:])
		must(t, err)
		sealed := aead.Seal(nil, make([]byte, chacha20poly1305.NonceSize), plain, hash[:])
		mix(sealed)
		return sealed
	}
	mix(public)
	mix(ephemeral.PublicKey().Bytes())
	device.KDF1(&chain, chain[:], ephemeral.PublicKey().Bytes())
	message := append([]byte{1, 0, 0, 0, 7, 0, 0, 0}, ephemeral.PublicKey().Bytes()...)
	message = append(message, seal(ephemeral, static.PublicKey().Bytes())...)
	const tai = 0x400000000000000a // of the Unix epoch
	stamp := endian.BigEndian.AppendUint64(nil, tai+uint64(at.Unix()))
	message = append(message, seal(static, endian.BigEndian.AppendUint32(stamp, 0))...)
	message = append(message, make([]byte, 32)...)
	var macs device.CookieGenerator
	macs.Init(device.NoisePublicKey(public))
	macs.AddMacs(message)
	return message
}

func privateKey(t *testing.T, text string) *ecdh.PrivateKey {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	must(t, err)
	key, err := ecdh.X25519().NewPrivateKey(b)
	must(t, err)
	return key
}
