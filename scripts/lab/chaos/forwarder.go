package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"postroad/scripts/lab"
)

// A manner says when the copies of a packet arrive: after so long each.
type manner func(r *rand.Rand) []time.Duration

func delaying(*rand.Rand) []time.Duration { return []time.Duration{150 * time.Millisecond} }

func doubling(r *rand.Rand) []time.Duration {
	return []time.Duration{0, time.Duration(r.IntN(20)) * time.Millisecond}[:1+r.IntN(2)]
}

func shuffling(r *rand.Rand) []time.Duration {
	return []time.Duration{time.Duration(r.IntN(30)) * time.Millisecond}
}

// carriedBy is a fault of the wire that nft cannot make: the router drops the
// tunnels' packets, and we, who have seen them come in, send them on in a manner.
func carriedBy(m manner) infliction {
	return func(ctx context.Context, s *stage, _ *host, r *rand.Rand) (func(context.Context) error, error) {
		f := &forwarder{ways: map[netip.Addr]*lab.Tap{}, manner: m, random: rand.New(rand.NewPCG(r.Uint64(), 3)), done: make(chan struct{})}
		for _, h := range s.hosts {
			tap, err := h.Site.Link.Tap(ctx)
			if err != nil {
				return nil, err
			}
			f.wires = append(f.wires, tap)
			f.ways[h.Site.IPv4], f.ways[h.Site.IPv6] = tap, tap
		}
		drop := "nft 'table inet chaosway { chain forward { type filter hook forward priority 60; udp dport 51825 drop; }; }'"
		if err := shell(drop, s.Router)(ctx); err != nil {
			return nil, err
		}
		f.start()
		return func(ctx context.Context) error {
			return errors.Join(shell("nft delete table inet chaosway", s.Router)(ctx), f.stop())
		}, nil
	}
}

// A forwarder carries the tunnels' packets between hosts.
type forwarder struct {
	wires  []*lab.Tap
	ways   map[netip.Addr]*lab.Tap // where a host's address is
	manner manner
	done   chan struct{}
	group  sync.WaitGroup
	passed atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
	err    error
}

func (f *forwarder) start() {
	for _, wire := range f.wires {
		f.group.Go(func() { f.carry(wire) })
	}
}

// stop ends it. It is an error if no packet came.
func (f *forwarder) stop() error {
	close(f.done)
	f.group.Wait()
	err := f.err
	for _, wire := range f.wires {
		err = errors.Join(err, wire.Close())
	}
	if f.passed.Load() == 0 {
		err = errors.Join(err, errors.New("no packet came to be forwarded"))
	}
	return err
}

func (f *forwarder) carry(from *lab.Tap) {
	for {
		select {
		case <-f.done:
			return
		default:
		}
		frame, err := from.Next(50 * time.Millisecond)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			f.fail(err)
			return
		}
		to := f.ways[sealedFor(frame)]
		if to == nil || !bytes.Equal(frame[6:12], from.Far) {
			continue
		}
		copy(frame, to.Far)
		copy(frame[6:], to.Hardware)
		f.passed.Add(1)
		f.mu.Lock()
		delays := f.manner(f.random)
		f.mu.Unlock()
		for _, d := range delays {
			f.group.Go(func() {
				time.Sleep(d) // the manner's, not a wait for something
				if err := to.Send(frame); err != nil {
					f.fail(fmt.Errorf("sending on %d bytes: %w", len(frame), err))
				}
			})
		}
	}
}

func (f *forwarder) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// sealedFor says whom a frame is for that is one of the tunnels' packets, over IPv4
// or IPv6 without options. Of others it says nothing.
func sealedFor(frame []byte) (to netip.Addr) {
	for _, family := range []struct {
		ethertype          uint16
		protocol, dst, end int // where the protocol's number is, the destination, and the header's end
	}{{0x0800, 14 + 9, 14 + 16, 14 + 20}, {0x86dd, 14 + 6, 14 + 24, 14 + 40}} {
		if len(frame) >= family.end+8 && binary.BigEndian.Uint16(frame[12:]) == family.ethertype && frame[family.protocol] == 17 &&
			binary.BigEndian.Uint16(frame[family.end+2:]) == lab.TunnelPort {
			to, _ = netip.AddrFromSlice(frame[family.dst:family.end])
		}
	}
	return to
}
