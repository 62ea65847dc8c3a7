package linux

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// The expressions that the guard's rules are made of, each as nft(8) makes it
// from the words beside it. All use register 1.

// An end is a packet's source or destination.
type end int

const (
	src end = iota
	dst
)

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func load(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: 1} }

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// iifname "x"
func in(names interfaces) []expr.Any { return named(expr.MetaKeyIIFNAME, names[0]) }

// oifname "x"
func out(names interfaces) []expr.Any { return named(expr.MetaKeyOIFNAME, names[0]) }

func named(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{load(key), equal(padded)}
}

// meta nfproto ipv4
func v4() []expr.Any { return family(nftables.TableFamilyIPv4) }

// meta nfproto ipv6
func v6() []expr.Any { return family(nftables.TableFamilyIPv6) }

func family(f nftables.TableFamily) []expr.Any {
	return []expr.Any{load(expr.MetaKeyNFPROTO), equal([]byte{byte(f)})}
}

// meta l4proto x
func l4proto(proto byte) []expr.Any {
	return []expr.Any{load(expr.MetaKeyL4PROTO), equal([]byte{proto})}
}

// tcp sport, tcp dport
func tcpPort(e end) []expr.Any {
	return append(l4proto(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2 * uint32(e), Len: 2})
}

// udp dport x
func udpTo(port uint16) []expr.Any {
	return append(l4proto(unix.IPPROTO_UDP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equal(binary.BigEndian.AppendUint16(nil, port)))
}

// udp sport, udp dport
func udpPort(e end) []expr.Any {
	return append(l4proto(unix.IPPROTO_UDP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2 * uint32(e), Len: 2})
}

// udp length x, of a packet that carries size bytes
func udpSize(size uint16) []expr.Any {
	const header = 8
	return append(l4proto(unix.IPPROTO_UDP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 4, Len: 2},
		equal(binary.BigEndian.AppendUint16(nil, header+size)))
}

// @th,64,32 x: what a UDP packet carries begins with that number, lowest byte first
func udpBegins(number uint32) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 8, Len: 4},
		equal(binary.LittleEndian.AppendUint32(nil, number))}
}

// update @set { ... }
func update(name string) []expr.Any {
	return []expr.Any{&expr.Dynset{SrcRegKey: 1, SetName: name, Operation: unix.NFT_DYNSET_OP_UPDATE}}
}

// ip ecn ect1 (RFC 3168, section 5)
func ect1() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 1, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{3}, Xor: []byte{0}},
		equal([]byte{probeECN}),
	}
}

// ip frag-off set 0x4000, which is DF (RFC 791, section 3.1): nothing that is sent is a fragment yet
func dontFragment() []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: []byte{0x40, 0}},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2,
			CsumType: expr.CsumTypeInet, CsumOffset: 10},
	}
}

// ip saddr, ip daddr (RFC 791, section 3.1)
func addr4(e end) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12 + 4*uint32(e), Len: 4}}
}

// ip6 saddr, ip6 daddr (RFC 8200, section 3)
func addr6(e end) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 8 + 16*uint32(e), Len: 16}}
}

// @set
func inSet(name string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: name}}
}

// != @set
func notInSet(name string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: name, Invert: true}}
}

// ct state x
func ctState(bits uint32) []expr.Any {
	return append([]expr.Any{&expr.Ct{Register: 1, Key: expr.CtKeySTATE}}, anyBit(bits)...)
}

// ct mark and x != 0
func ctMarked() []expr.Any {
	return append([]expr.Any{&expr.Ct{Register: 1, Key: expr.CtKeyMARK}}, anyBit(tunnel.Mark)...)
}

func anyBit(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(bits), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}
}

// meta mark set meta mark or x
func setMark() []expr.Any {
	return []expr.Any{load(expr.MetaKeyMARK), orMark(),
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1}}
}

// ct mark set ct mark or x
func setCtMark() []expr.Any {
	return []expr.Any{&expr.Ct{Register: 1, Key: expr.CtKeyMARK}, orMark(),
		&expr.Ct{Register: 1, SourceRegister: true, Key: expr.CtKeyMARK}}
}

func orMark() expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(^uint32(tunnel.Mark)), Xor: native(tunnel.Mark)}
}

// reject with icmpx admin-prohibited: the MTA fails at once, and softly; a TCP
// reset would itself be a packet from port 25.
func reject() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
}

// reject with icmpx port-unreachable, as any host says of a port that nobody listens on
func unreachable() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}}
}

func accept() []expr.Any { return verdict(expr.VerdictAccept, "") }
func drop() []expr.Any   { return verdict(expr.VerdictDrop, "") }
func ret() []expr.Any    { return verdict(expr.VerdictReturn, "") }

func jump(chain string) []expr.Any { return verdict(expr.VerdictJump, chain) }
func goTo(chain string) []expr.Any { return verdict(expr.VerdictGoto, chain) }

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}
