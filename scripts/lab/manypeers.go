package lab

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// ManyNet is what the addresses of [ManyPeers] are of: the range for benchmarks (RFC 2544), which nobody has.
var ManyNet = netip.MustParsePrefix("198.18.0.0/15")

// ManyPeers are the blocks of n peers in a peers file, the first of which is number from: each with a key, of which nobody
// has the private half, and an address of its own in [ManyNet]. There are 131071 at most.
func ManyPeers(from, n int) string {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "[[peer]]\nname = %q\npublic_key = %q\naddresses = [%q]\n\n", ManyName(i), ManyKey(i), ManyAddr(i))
	}
	return b.String()
}

// ManyName is the name of one of [ManyPeers].
func ManyName(i int) string { return fmt.Sprintf("mx%d.many.example", i) }

// ManyAddr is the address of one of [ManyPeers].
func ManyAddr(i int) netip.Addr {
	first := ManyNet.Addr().As4()
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(first[:])+1+uint32(i))))
}

// ManyKey is the public key of one of [ManyPeers].
func ManyKey(i int) string {
	key := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
	return base64.StdEncoding.EncodeToString(key[:])
}
