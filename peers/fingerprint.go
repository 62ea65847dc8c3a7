package peers

import (
	"bytes"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a fingerprint: some 50 ms and 64 MiB. Changing any of these
// changes every fingerprint.
const (
	fingerprintPasses = 1
	fingerprintMemory = 64 << 10 // KiB
	fingerprintLanes  = 1
	fingerprintSalt   = "postroad fingerprint 1"
)

// A fingerprint's form: 30 decimal digits in groups of 5.
const (
	fingerprintDigits = 30
	fingerprintGroup  = 5
)

// Fingerprint returns what two operators read to each other to know that each
// has the other's key: 30 digits in six groups, the same for (a, b) and (b, a).
//
// It is Argon2id (RFC 9106) of both keys, the lesser first, in decimal: 99.6
// bits. Who sits between the two and changes both cards can choose both of the
// keys that he puts in, and looks for a pair that shows both operators the same
// digits; that is a collision, which takes some 2^50 evaluations. At 50 ms and
// 64 MiB each that is more than a million years of one processor core. Who can
// change one card only needs 2^99.
func Fingerprint(a, b PublicKey) string {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	hash := argon2.IDKey(append(a[:], b[:]...), []byte(fingerprintSalt), fingerprintPasses, fingerprintMemory, fingerprintLanes, 32)
	all := new(big.Int).Exp(big.NewInt(10), big.NewInt(fingerprintDigits), nil)
	digits := fmt.Sprintf("%0*d", fingerprintDigits, new(big.Int).Mod(new(big.Int).SetBytes(hash), all))
	var groups []string
	for i := 0; i < fingerprintDigits; i += fingerprintGroup {
		groups = append(groups, digits[i:i+fingerprintGroup])
	}
	return strings.Join(groups, " ")
}
