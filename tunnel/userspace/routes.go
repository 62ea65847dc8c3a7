package userspace

import (
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// recheck is how long the way to an endpoint is taken to stay the same.
	recheck = time.Second
	// pause is the least time between two looks at the routes, whoever's: to ask costs as much as to send some packets.
	pause = time.Millisecond
)

// routes knows which way packets to an endpoint leave. As the kernel's WireGuard
// does, we send from the address that the peer sent to, but not when the packets
// would leave by another interface than it came by: a provider drops packets with
// another's address.
type routes struct {
	mark atomic.Uint32 // of our packets
	next atomic.Int64  // when there may be another look, as now
}

var start = time.Now()

// now is a clock that nobody sets, in nanoseconds.
func now() int64 { return int64(time.Since(start)) }

// control returns the control message for packets to an endpoint; nil: the kernel
// chooses their source.
func (r *routes) control(e *endpoint) []byte {
	if e.control == nil || e.cleared.Load() {
		return nil
	}
	at, last, next := now(), e.checked.Load(), r.next.Load()
	if (last == 0 || at-last > int64(recheck)) && at > next && r.next.CompareAndSwap(next, at+int64(pause)) {
		e.checked.Store(at)
		e.stray.Store(r.leavesElsewhere(e))
	}
	if e.stray.Load() {
		return nil
	}
	return e.control
}

func (r *routes) leavesElsewhere(e *endpoint) bool {
	if e.DstIP().IsLinkLocalUnicast() { // the interface is a part of the address
		return false
	}
	ways, err := netlink.RouteGetWithOptions(e.DstIP().AsSlice(), &netlink.RouteGetOptions{Mark: r.mark.Load()})
	return err == nil && len(ways) > 0 && ways[0].LinkIndex != int(e.src.index)
}
