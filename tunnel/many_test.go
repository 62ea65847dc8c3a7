package tunnel

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"postroad/peers"
)

// manyPeers is a config of n peers, each with a key and an address of its own.
func manyPeers(n int) *peers.Config {
	c := &peers.Config{Host: peers.Host{Name: "mx.many.example", Link: "postroad0", ListenPort: 51825, Ports: []uint16{25, 465, 587},
		PrivateKey: peers.PrivateKeyFrom([32]byte{1})}}
	for i := range n {
		number := binary.BigEndian.AppendUint32(nil, 198<<24|18<<16+1+uint32(i))
		a := netip.AddrFrom4([4]byte(number))
		c.Peers = append(c.Peers, peers.Peer{Name: fmt.Sprintf("mx%d.many.example", i), PublicKey: sha256.Sum256(number), Addresses: []netip.Addr{a}})
	}
	return c
}

// manyFacts are those of a host with a default route.
func manyFacts(c *peers.Config) Facts {
	own := netip.MustParseAddr("192.0.2.10")
	f := Facts{IPv6: true, Local: []LocalAddr{{own, "eth0"}}, Paths: map[netip.Addr]Path{}}
	for _, a := range Remotes(c, nil) {
		f.Paths[a] = Path{Src: own, Link: "eth0", MTU: 1500, PMTU: 1500}
	}
	return f
}

// oneChanged is c with another key for one peer.
func oneChanged(c *peers.Config) *peers.Config {
	d := *c
	d.Peers = append([]peers.Peer(nil), c.Peers...)
	d.Peers[len(d.Peers)/2].PublicKey[0] ^= 1
	return &d
}

func BenchmarkWant10000(b *testing.B) {
	c := manyPeers(10000)
	f := manyFacts(c)
	for b.Loop() {
		Want(c, f)
	}
}

// BenchmarkDiff10000 compares states that are the same, of which one peer has
// another key, and of which one is none.
func BenchmarkDiff10000(b *testing.B) {
	c := manyPeers(10000)
	f := manyFacts(c)
	have, want, now := Want(c, f), Want(oneChanged(c), f), time.Now()
	for _, bench := range []struct {
		name       string
		have, want State
	}{{"none", have, have}, {"one", have, want}, {"all", State{}, want}} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				Diff(bench.have, bench.want, now)
			}
		})
	}
}

// BenchmarkPlan10000 writes what a first start does.
func BenchmarkPlan10000(b *testing.B) {
	c := manyPeers(10000)
	plan := Diff(State{}, Want(c, manyFacts(c)), time.Now())
	for b.Loop() {
		_ = plan.String()
	}
}

func BenchmarkJudge10000(b *testing.B) {
	c := manyPeers(10000)
	s, now := Want(c, manyFacts(c)), time.Now()
	for b.Loop() {
		Judge(c, s, s, now)
	}
}

// BenchmarkPass10000 is all that a pass costs beside what the system does, when
// there is nothing to do.
func BenchmarkPass10000(b *testing.B) {
	c := manyPeers(10000)
	f := manyFacts(c)
	s := Want(c, f)
	for i := range s.Device.Peers {
		s.Device.Peers[i].LastHandshake = time.Now()
	}
	l := New(Loop{System: &fake{state: s, facts: f}, Log: slog.New(slog.DiscardHandler)}, c)
	for b.Loop() {
		if steps, err := l.pass(b.Context()); steps > 0 || err != nil {
			b.Fatal(steps, err)
		}
	}
}
