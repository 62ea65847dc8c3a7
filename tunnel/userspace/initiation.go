package userspace

import (
	"crypto/ecdh"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.zx2c4.com/wireguard/device"
)

// Where the parts of a handshake initiation are (WireGuard's whitepaper,
// section 5.4.2), in bytes.
const (
	ephemeralAt = 8
	staticAt    = ephemeralAt + 32
	timestampAt = staticAt + 32 + chacha20poly1305.Overhead
	macsAt      = timestampAt + 12 + chacha20poly1305.Overhead
)

// An Initiation is what the first message of a handshake tells whom it is for.
type Initiation struct {
	Sender [32]byte  // the public key that who sent it has the other half of
	Time   time.Time // on the sender's clock
	stamp  [12]byte  // the same as TAI64N, whose order is that of time
}

var errNotForUs = errors.New("the initiation does not open with this key")

// For says whether a handshake initiation was made for the host with that
// public key. Whoever knows the key can make one.
func For(public [32]byte, message []byte) bool {
	if len(message) != device.MessageInitiationSize {
		return false
	}
	var c device.CookieChecker
	c.Init(device.NoisePublicKey(public))
	return c.CheckMAC1(message)
}

// Open reads a handshake initiation with the private key of whom it is for. That
// it opens proves nothing of when it was sent: it may be a replay.
func Open(private [32]byte, message []byte) (i Initiation, err error) {
	key, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		return i, err
	}
	return open(key, message)
}

func open(key *ecdh.PrivateKey, message []byte) (i Initiation, err error) {
	if len(message) != device.MessageInitiationSize {
		return i, errNotForUs
	}
	ephemeral := message[ephemeralAt:staticAt]
	n := noise{chain: device.InitialChainKey, hash: device.InitialHash}
	n.mixHash(key.PublicKey().Bytes())
	n.mixHash(ephemeral)
	device.KDF1(&n.chain, n.chain[:], ephemeral)
	static, err := n.open(key, ephemeral, message[staticAt:timestampAt])
	if err != nil {
		return i, err
	}
	stamp, err := n.open(key, static, message[timestampAt:macsAt])
	if err != nil {
		return i, err
	}
	return Initiation{Sender: [32]byte(static), Time: tai64n(stamp), stamp: [12]byte(stamp)}, nil
}

// noise is the state of a Noise handshake, as far as its responder gets with
// the first message.
type noise struct{ chain, hash [blake2s.Size]byte }

func (n *noise) mixHash(data []byte) {
	n.hash = blake2s.Sum256(append(n.hash[:], data...))
}

// open mixes the secret shared with a public key in, and opens what it seals.
func (n *noise) open(key *ecdh.PrivateKey, public, sealed []byte) ([]byte, error) {
	remote, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	shared, err := key.ECDH(remote)
	if err != nil {
		return nil, err
	}
	var aeadKey [chacha20poly1305.KeySize]byte
	device.KDF2(&n.chain, &aeadKey, n.chain[:], shared)
	aead, err := chacha20poly1305.New(aeadKey[:])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, device.ZeroNonce[:], sealed, n.hash[:])
	if err != nil {
		return nil, errNotForUs
	}
	n.mixHash(sealed)
	return plain, nil
}

// tai64n reads a TAI64N label as WireGuard makes it: without leap seconds, the
// nanoseconds rounded.
func tai64n(stamp []byte) time.Time {
	const base = 0x400000000000000a
	return time.Unix(int64(binary.BigEndian.Uint64(stamp)-base), int64(binary.BigEndian.Uint32(stamp[8:])))
}
