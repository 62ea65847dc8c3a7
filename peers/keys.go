package peers

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unique"
)

// keySize is the size of every WireGuard key, in bytes.
const keySize = 32

// redacted is all that a secret ever prints.
const redacted = "(redacted)"

// The ways in which the text of a key is wrong. None quotes it.
var (
	errKeyText = errors.New("not a key: give standard base64 of 32 bytes, which is 44 characters")
	errKeyZero = errors.New("not a key: all its bytes are zero")
)

// A secret is key material that fmt, slog and the encodings print as
// "(redacted)". A struct must hold it in an exported field: of unexported ones
// fmt prints the content without asking the type. It is a handle to the bytes,
// not the bytes: there is one copy of them, and the runtime, which prints the
// arguments of functions when a program crashes, prints where that is. Two are equal, by ==, if their bytes are.
type secret struct{ key unique.Handle[[keySize]byte] }

// newSecret returns the handle of a key; all zeros are none.
func newSecret(b [keySize]byte) secret {
	if b == [keySize]byte{} {
		return secret{}
	}
	return secret{unique.Make(b)}
}

// String returns "(redacted)".
func (secret) String() string { return redacted }

// GoString returns "(redacted)".
func (secret) GoString() string { return redacted }

// Format writes "(redacted)", whatever the verb.
func (secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns "(redacted)"; there is no way back.
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "(redacted)".
func (secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Bytes returns the key itself: zeros where there is none.
func (s secret) Bytes() [32]byte {
	if s.IsZero() {
		return [keySize]byte{}
	}
	return s.key.Value()
}

// IsZero says whether there is no key.
func (s secret) IsZero() bool { return s == secret{} }

// A PrivateKey is a host's identity: a clamped X25519 scalar. It prints as
// "(redacted)". The zero value is no key.
type PrivateKey struct{ secret }

// NewPrivateKey makes a key from the system's random source. The error is
// always nil, as that source does not fail.
func NewPrivateKey() (PrivateKey, error) {
	var b [keySize]byte
	if _, err := rand.Read(b[:]); err != nil {
		return PrivateKey{}, fmt.Errorf("reading random bytes: %w", err)
	}
	return clamped(b), nil
}

// ParsePrivateKey reads what wg genkey writes: standard base64 of 32 bytes,
// with or without white space around it. The key is clamped, so that it equals
// what WireGuard says it uses. Errors do not quote the text.
func ParsePrivateKey(s string) (PrivateKey, error) {
	b, err := parseKey(s)
	if err != nil {
		return PrivateKey{}, err
	}
	return clamped(b), nil
}

// clamped fixes the bits that X25519 ignores, RFC 7748 section 5.
func clamped(b [keySize]byte) PrivateKey {
	b[0] &= 0xf8
	b[31] = b[31]&0x7f | 0x40
	return PrivateKey{newSecret(b)}
}

// Public returns the key that the peers know this host by.
func (k PrivateKey) Public() PublicKey {
	b := k.Bytes()
	p, err := ecdh.X25519().NewPrivateKey(b[:])
	if err != nil {
		panic(err) // only for a wrong length
	}
	return PublicKey(p.PublicKey().Bytes())
}

// Reveal returns the key in base64, for the command that makes one. Nothing
// else may print it.
func (k PrivateKey) Reveal() string {
	b := k.Bytes()
	return base64.StdEncoding.EncodeToString(b[:])
}

// A PresharedKey is a second secret, between two hosts, mixed into their
// handshakes. It prints as "(redacted)". The zero value means none.
type PresharedKey struct{ secret }

// ParsePresharedKey reads what wg genpsk writes: standard base64 of 32 bytes,
// with or without white space around it. All zeros are refused, as they would
// mean none. Errors do not quote the text.
func ParsePresharedKey(s string) (PresharedKey, error) {
	b, err := parseKey(s)
	return PresharedKey{newSecret(b)}, err
}

// A PublicKey is what a host is known by: an X25519 point.
type PublicKey [32]byte

// ParsePublicKey reads what wg pubkey writes: standard base64 of 32 bytes, with
// or without white space around it. All zeros are refused. Errors do not quote
// the text, which may be a private key put in the wrong place.
func ParsePublicKey(s string) (PublicKey, error) {
	b, err := parseKey(s)
	return PublicKey(b), err
}

// String returns the key in base64.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText returns the key in base64.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParsePublicKey; k is unchanged where that fails.
func (k *PublicKey) UnmarshalText(text []byte) error {
	parsed, err := ParsePublicKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// parseKey reads base64; the length is checked first because the decoder skips
// line ends.
func parseKey(s string) (key [keySize]byte, err error) {
	s = strings.TrimSpace(s)
	if len(s) != base64.StdEncoding.EncodedLen(keySize) {
		return key, errKeyText
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != keySize {
		return key, errKeyText
	}
	copy(key[:], b)
	if key == [keySize]byte{} {
		return key, errKeyZero
	}
	return key, nil
}

// PrivateKeyFrom makes a key of the bytes that a WireGuard device says it has;
// zero: none.
func PrivateKeyFrom(b [32]byte) PrivateKey { return PrivateKey{newSecret(b)} }

// PresharedKeyFrom makes a key of the bytes that a WireGuard device says it
// has; zero: none.
func PresharedKeyFrom(b [32]byte) PresharedKey { return PresharedKey{newSecret(b)} }
