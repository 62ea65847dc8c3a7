package tunnel

import (
	"net/netip"
	"slices"
)

// SafeMTU is how large packets to a peer are while nothing is known of the path
// to it, in bytes: inside a path of 1280 bytes, the least that IPv6 lets there
// be (RFC 8200, section 5), with WireGuard's own 80 around them.
const SafeMTU = 1200

// mtuUnit is what WireGuard pads packets to, in bytes, and so the unit of what
// is tried: whatever is padded then still fits.
const mtuUnit = 16

// Overhead is how much larger packets get in a tunnel to an endpoint, in bytes:
// by an IP header, UDP's 8, and WireGuard's 32 (its whitepaper, section 5.4.6).
func Overhead(endpoint netip.Addr) int {
	if endpoint.Unmap().Is4() {
		return 60
	}
	return 80
}

// mtuLadder has what usual paths leave, of 1280 to 1500 bytes and of 9000, in
// whole units: PPPoE's 1492, clouds' 1460, and tunnels around ours.
var mtuLadder = []int{1200, 1216, 1280, 1312, 1328, 1360, 1376, 1392, 1408, 1424, 1440, 8912, 8928}

// A mtuSearch looks for the largest whole number of units that crosses a tunnel.
// It asks first for the size in use, then for the largest that may cross, and
// then halves what is left, among usual sizes before others.
type mtuSearch struct {
	low, high int  // the largest that crosses is one of them or in between
	known     bool // low was seen to cross
	failed    bool // a size did not
}

// newMTUSearch returns a search that begins with the size in use. Without raise
// it is over if that crosses.
func newMTUSearch(current, most int, raise bool) *mtuSearch {
	most = wholeMTU(most)
	current = min(wholeMTU(current), most)
	if !raise {
		most = current
	}
	return &mtuSearch{low: current, high: most}
}

// wholeMTU rounds down to whole units, and up to SafeMTU.
func wholeMTU(bytes int) int { return max(SafeMTU, bytes/mtuUnit*mtuUnit) }

// next returns the size to try next; zero: the search is over.
func (s *mtuSearch) next() int {
	switch {
	case !s.known:
		return s.low
	case s.low >= s.high:
		return 0
	case !s.failed:
		return s.high
	}
	var usual []int
	for _, size := range mtuLadder {
		if size > s.low && size <= s.high {
			usual = append(usual, size)
		}
	}
	switch {
	case len(usual) > 0:
		return usual[len(usual)/2]
	case slices.Contains(mtuLadder, s.low): // a usual size crosses, the next usual one does not: mostly that is it
		return s.low + mtuUnit
	}
	units := (s.high - s.low) / mtuUnit
	return s.low + (units+1)/2*mtuUnit
}

// control returns a size that crosses if any does, for when another did not.
func (s *mtuSearch) control() int {
	if s.known {
		return s.low
	}
	return SafeMTU
}

// result takes down whether the size that next returned crosses; the size that
// control returned does.
func (s *mtuSearch) result(size int, crosses bool) {
	if crosses {
		s.low, s.known = size, true
		return
	}
	s.low, s.high, s.known, s.failed = s.control(), size-mtuUnit, true, true
}

// limit takes down that no more than most bytes can cross.
func (s *mtuSearch) limit(most int) {
	s.low, s.high = min(s.low, wholeMTU(most)), min(s.high, wholeMTU(most))
}
