package peers

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// manyText is a peers file of n peers, each with a key and an address of its own.
func manyText(n int) []byte {
	var b strings.Builder
	fmt.Fprintln(&b, "[host]\nname = \"mx.many.example\"")
	for i := range n {
		number := binary.BigEndian.AppendUint32(nil, 198<<24|18<<16+1+uint32(i))
		p := Peer{Name: fmt.Sprintf("mx%d.many.example", i), PublicKey: sha256.Sum256(number),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte(number))}}
		fmt.Fprintf(&b, "\n%s", p.Block())
	}
	return []byte(b.String())
}

func manyEnv() Env {
	return Env{ReadKey: func(string) ([]byte, error) { return []byte(PrivateKeyFrom([32]byte{1}).Reveal()), nil }}
}

func BenchmarkDecode10000(b *testing.B) {
	text := manyText(10000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if c, err := Decode("many.toml", text, manyEnv()); err != nil || len(c.Peers) != 10000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompare10000(b *testing.B) {
	old, err := Decode("many.toml", manyText(10000), manyEnv())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		Compare(old, old)
	}
}

func BenchmarkResolve10000(b *testing.B) {
	c, err := Decode("many.toml", manyText(10000), manyEnv())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		Resolve(c, Answers{}, nil)
	}
}
