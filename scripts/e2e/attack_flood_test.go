package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/crypto/blake2s"

	"postroad/scripts/lab"
)

// A flood is a kind of packet to the tunnel's port, of which an attacker sends as
// many as he can, from a thousand addresses.
type flood struct {
	name    string
	payload func(t *testing.T, victim *lab.Postroad) []byte
}

var floods = []flood{
	{"noise", func(*testing.T, *lab.Postroad) []byte { return noise(148) }},
	{"data for no session", func(*testing.T, *lab.Postroad) []byte {
		data := noise(1400)
		copy(data, []byte{4, 0, 0, 0})
		return data
	}},
	{"initiations from who does not know the key", func(*testing.T, *lab.Postroad) []byte {
		data := noise(148)
		copy(data, []byte{1, 0, 0, 0})
		return data
	}},
	{"initiations from who knows the key", initiation},
}

func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data) // never fails
	return data
}

// initiation is a handshake's first message as whoever knows the victim's public
// key can make it: the first of its authenticators is right (whitepaper, 5.4.4),
// so that the victim has to look at it.
func initiation(t *testing.T, victim *lab.Postroad) []byte {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(victim.Key)
	must(t, err)
	hash := blake2s.Sum256(append([]byte("mac1----"), key...))
	mac, err := blake2s.New128(hash[:])
	must(t, err)
	data := noise(148)
	copy(data, []byte{1, 0, 0, 0})
	mac.Write(data[:116])
	copy(data[116:], mac.Sum(nil))
	copy(data[132:], make([]byte, 16)) // no cookie
	return data
}

// drown sends the packets to a host, as fast as it can, until the function that
// it returns is called, which says how many a second those were.
func (a *attacker) drown(t *testing.T, f flood, victim *lab.Postroad) (stop func() (rate float64)) {
	t.Helper()
	to := victim.Site
	var frames [][]byte
	for i := range 1024 {
		header := ip(to.IPv4, to, layers.IPProtocolUDP).(*layers.IPv4)
		header.SrcIP = []byte{100, 64, byte(i >> 8), byte(i)}
		udp := &layers.UDP{SrcPort: layers.UDPPort(1024 + i), DstPort: lab.TunnelPort}
		frames = append(frames, bytesOf(t, a.ethernet(to, false), header, udp, gopacket.Payload(f.payload(t, victim))))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var sent int
	begin := time.Now()
	wg.Go(func() {
		for ; ctx.Err() == nil; sent++ {
			if err := a.taps[to].Send(frames[sent%len(frames)]); err != nil && !strings.Contains(err.Error(), "no buffer space") {
				t.Errorf("after %d packets: %v", sent, err)
				return
			}
		}
	})
	return func() float64 {
		cancel()
		wg.Wait()
		return float64(sent) / time.Since(begin).Seconds()
	}
}

// A flood of all that WireGuard's port can be sent takes a daemon neither its mail
// nor its memory: mail goes on both ways, a peer that comes anew is let in, and
// afterwards all is as before.
func TestAttackFloods(t *testing.T) {
	ctx, r := newRoad(t)
	a := newAttacker(ctx, t, r)
	// Nobody is at home at the attacker's thousand addresses.
	run(ctx, t, r.Router, "nft", "table inet away { chain pre { type filter hook prerouting priority -300; ip daddr 100.64.0.0/16 drop; }; }")
	alpha, bravo := postfix(ctx, t, r.Alpha, lab.PreferIPv4), postfix(ctx, t, r.Bravo, lab.PreferIPv4)
	none := watch(ctx, t, r.Standard)
	before, err := r.alpha.Resident()
	must(t, err)
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			begin, used := time.Now(), processorTime(t, r.alpha)
			stop := a.drown(t, f, r.alpha)
			defer func() { stop() }()
			peak := 0
			for range 5 {
				arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.IPv4)
				arrives(ctx, t, bravo, "bob@bravo.example", alpha, "alice@alpha.example", r.Bravo.IPv4)
				now, err := r.alpha.Resident()
				must(t, err)
				peak = max(peak, now)
			}
			mailed := time.Since(begin)
			must(t, r.bravo.Kill())
			must(t, r.bravo.Start(ctx))
			again := time.Now()
			must(t, lab.Eventually(ctx, time.Minute, "a handshake in the flood", func() error {
				s, err := r.bravo.Peer(ctx, r.Alpha.Name)
				if err == nil && s.State != "protected" {
					err = fmt.Errorf("it is %s: %s", s.State, s.Reason)
				}
				return err
			}))
			t.Logf("figure: a peer is let in after %.1f s in a flood of %s", time.Since(again).Seconds(), f.name)
			now, err := r.alpha.Resident()
			must(t, err)
			peak = max(peak, now)
			share := (processorTime(t, r.alpha) - used).Seconds() / time.Since(begin).Seconds()
			rate := stop()
			stop = func() float64 { return 0 }
			t.Logf("figure: a flood of %s, %.0f a second: ten messages both ways in %.1f s, %.0f %% of a processor, %d MB more memory",
				f.name, rate, mailed.Seconds(), 100*share, (peak-before)>>10)
			if rate < 5000 {
				t.Errorf("only %.0f packets a second: that is no flood", rate)
			}
			if peak > before+floodSpare {
				t.Errorf("memory grew from %d to %d kB", before, peak)
			}
			arrives(ctx, t, alpha, "alice@alpha.example", bravo, "bob@bravo.example", r.Alpha.IPv4)
		})
	}
	none()
}

// floodSpare is how much more memory a daemon may take after floods, in kB.
const floodSpare = 32 << 10

// processorTime is what a daemon has used, in all.
func processorTime(t *testing.T, p *lab.Postroad) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	must(t, err)
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var user, system int64
	_, err = fmt.Sscan(f[11]+" "+f[12], &user, &system)
	must(t, err)
	const ticks = 100 // a second; USER_HZ, the same on all of Linux' common architectures
	return time.Duration(user+system) * time.Second / ticks
}
