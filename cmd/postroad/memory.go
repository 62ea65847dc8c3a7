package main

import (
	"runtime/debug"

	"postroad/tunnel"
)

// garbage is what the process may have of it beside WireGuard's peers, in bytes.
const garbage = 32 << 20

// spareMemory bounds what is wasted where WireGuard runs within this process and
// has many peers: by default that is as much as they need themselves.
func spareMemory(peers int) {
	percent := 100
	if size := peers * tunnel.EmbeddedPeerSize; size > garbage {
		percent = max(100*garbage/size, 10)
	}
	debug.SetGCPercent(percent)
	go debug.FreeOSMemory() // what it took to get there
}
