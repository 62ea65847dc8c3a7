package userspace

import (
	"encoding/binary"
	"math/bits"
)

// A sum is a checksum of the Internet (RFC 1071) that is being added up. The
// order of a machine's bytes makes no difference to it but in the end (section
// 2 B), so that it adds up eight bytes at once.
type sum uint64

// add adds bytes; what was added before has to be of an even number.
func (s sum) add(b []byte) sum {
	a, carry := uint64(s), uint64(0)
	for len(b) >= 64 {
		w := b[:64:64]
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(w[0:]), carry)
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(w[8:]), carry)
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(w[16:]), carry)
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(w[24:]), carry)
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(w[32:]), carry)
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(w[40:]), carry)
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(w[48:]), carry)
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(w[56:]), carry)
		b = b[64:]
	}
	for len(b) >= 8 {
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var rest [8]byte
		copy(rest[:], b)
		a, carry = bits.Add64(a, binary.NativeEndian.Uint64(rest[:]), carry)
	}
	a, carry = bits.Add64(a, carry, 0)
	return sum(a + carry)
}

// put writes the checksum of what was added, as it stands in headers.
func (s sum) put(at []byte) {
	binary.NativeEndian.PutUint16(at, ^s.fold())
}

// fold returns what was added up, in the machine's order.
func (s sum) fold() uint16 {
	a := s>>32 + s&0xffffffff
	a = a>>32 + a&0xffffffff
	a = a>>16 + a&0xffff
	a = a>>16 + a&0xffff
	a = a>>16 + a&0xffff
	return uint16(a)
}
