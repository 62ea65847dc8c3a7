package userspace

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"
)

// An away has the guests that are not in the device, by address. It is asked about
// each packet.
type away struct {
	n  atomic.Int64 // of them
	mu sync.RWMutex
	by map[netip.Addr]*listed
}

func (a *away) add(l *listed) {
	a.change(func() {
		for _, p := range l.allowed {
			if p.IsSingleIP() {
				a.by[p.Addr()] = l
			}
		}
	})
}

// remove removes a guest from where it is found by some of what it is allowed.
func (a *away) remove(l *listed, some ...netip.Prefix) {
	a.change(func() {
		for _, p := range some {
			if a.by[p.Addr()] == l {
				delete(a.by, p.Addr())
			}
		}
	})
}

func (a *away) clear() { a.change(func() { clear(a.by) }) }

func (a *away) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	a.n.Store(int64(len(a.by)))
}

func (a *away) at(addr netip.Addr) *listed {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.by[addr]
}

// A watched is an interface whose packets bring in the guests that they are for,
// before the device sees them.
type watched struct {
	tun.Device
	roster *roster
}

// Read implements [tun.Device].
func (w watched) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := w.Device.Read(bufs, sizes, offset)
	if w.roster.away.n.Load() > 0 {
		var last netip.Addr
		for i := range n {
			if to := destination(bufs[i][offset:][:sizes[i]]); to != last {
				w.roster.bring(to)
				last = to
			}
		}
	}
	if err != nil { // the device closes itself
		w.roster.end()
	}
	return n, err
}

// bring has the device have whose address this is.
func (r *roster) bring(to netip.Addr) {
	l := r.away.at(to)
	if l == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.load(l) // or the packet goes nowhere
}

// destination returns where a packet is for; invalid: it makes no sense.
func destination(packet []byte) netip.Addr {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(packet[16:]))
	case len(packet) >= 40 && packet[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(packet[24:]))
	}
	return netip.Addr{}
}
