package main

import (
	"math"
	"runtime/debug"

	"postroad/tunnel"
)

// garbage is what the process may have of it beside WireGuard's peers, in bytes,
// when all of many are in use.
const garbage = 128 << 20

// spareMemory bounds what is wasted where WireGuard runs within this process and
// has many peers: by default that is as much as is needed, and they may all be in
// use.
func spareMemory(peers int) {
	limit := int64(math.MaxInt64)
	if size := int64(peers) * tunnel.EmbeddedPeerSize; size > garbage {
		limit = size + garbage
	}
	debug.SetMemoryLimit(limit)
	go debug.FreeOSMemory() // what it took to get there
}
