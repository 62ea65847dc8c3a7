package userspace

// small is the size up to which packets are made even, in bytes: acknowledgements,
// and the words of an SMTP session.
const small = 256

// even makes the small packets of a batch as long as the longest of them, by
// zeros behind their end. Those of one peer the kernel then takes, and routes,
// as one (see Send), which costs little more than a single packet does: far more
// than some bytes to encrypt. WireGuard pads in the same way, and takes off what
// is behind the length that the IP header tells (whitepaper, 5.4.6). A packet that
// comes alone, as all do while there is little to do, stays as it is.
func even(bufs [][]byte, sizes []int, offset int) {
	longest := 0
	for _, size := range sizes {
		if size <= small {
			longest = max(longest, size)
		}
	}
	for i, size := range sizes {
		if size < longest {
			clear(bufs[i][offset+size : offset+longest])
			sizes[i] = longest
		}
	}
}
