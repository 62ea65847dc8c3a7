package userspace

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"golang.zx2c4.com/wireguard/device"
)

// How many handshakes' messages a second the device is given, and how many in a
// row.
const (
	peersHandshakes  = 2000 // from where peers' endpoints are
	othersHandshakes = 200  // from elsewhere: peers behind NAT, and who else knows our port
)

// An admission limits how many handshakes' messages reach the device. It works on
// each of them, or answers it with a cookie, which costs a system call; in a flood
// it does nothing else, and what mail sends is lost before anybody reads it. To
// throw a message away costs hardly more than reading it. What comes from a peer's
// endpoint has a share of its own, so that a flood from everywhere keeps no peer
// out; one that bears a peer's address can keep that peer's new handshakes out,
// and no session that there is.
type admission struct {
	peers, others *rate.Limiter

	mu    sync.RWMutex
	known map[netip.Addr]struct{} // of endpoints; those that were count, too
}

func newAdmission() *admission {
	return &admission{
		peers:  rate.NewLimiter(peersHandshakes, peersHandshakes),
		others: rate.NewLimiter(othersHandshakes, othersHandshakes),
		known:  map[netip.Addr]struct{}{},
	}
}

// know notes where a peer's endpoint is.
func (a *admission) know(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known[addr] = struct{}{}
}

// admits says whether the device is to have a packet.
func (a *admission) admits(packet []byte, from netip.Addr, now func() time.Time) bool {
	if !beginsHandshake(packet) {
		return true
	}
	a.mu.RLock()
	_, known := a.known[from]
	a.mu.RUnlock()
	if known {
		return a.peers.AllowN(now(), 1)
	}
	return a.others.AllowN(now(), 1)
}

// beginsHandshake says whether a packet is what the device has to do public key
// cryptography for, or to answer (whitepaper, sections 5.4.2 and 5.4.3).
func beginsHandshake(packet []byte) bool {
	if len(packet) < device.MinMessageSize {
		return false
	}
	kind := binary.LittleEndian.Uint32(packet)
	return kind == device.MessageInitiationType || kind == device.MessageResponseType
}
