package tunnel

import (
	"fmt"

	"postroad/peers"
)

// What peers cost where WireGuard runs within this process: each that is in use has
// queues and two goroutines there, as upstream's device has it.
const (
	EmbeddedPeerSize = 40 << 10 // bytes, about
	embeddedMany     = 2000     // peers, from which on the kernel's WireGuard is the better choice
)

// embedded notes that so many peers are with WireGuard within this process, and
// says once where those are more than it is good for.
func (l *Loop) embedded(b peers.Backend, n int) {
	if b != peers.Userspace { // the kernel's has them
		n = 0
	}
	if n == l.inProcess {
		return
	}
	if l.inProcess <= embeddedMany && n > embeddedMany {
		l.Log.Warn("many peers for WireGuard within this process: the kernel's takes little for each", "peers", n,
			"memory", fmt.Sprintf("about %d MB when all are in use", (n*EmbeddedPeerSize)>>20))
	}
	l.inProcess = n
	if l.Embedded != nil {
		l.Embedded(n)
	}
}
