package peers

import (
	"math/rand/v2"
	"regexp"
	"testing"
)

// The vectors are from the argon2(1) of the reference implementation, which shares
// no code with ours.
func TestFingerprintVectors(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{publicA, publicB, "48464 16649 70241 18569 45545 98515"},
		{publicA, ownPublic, "84521 21709 50938 44686 15581 94110"},
		{publicA, publicA, "54103 59104 05675 43919 56817 74667"},
	} {
		if got := Fingerprint(mustPublic(t, tt.a), mustPublic(t, tt.b)); got != tt.want {
			t.Errorf("%s, %s: got %s, want %s", tt.a, tt.b, got, tt.want)
		}
	}
}

// It is the same on both sides, and another where one bit of one key is.
func TestFingerprintProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	form := regexp.MustCompile(`^(\d{5} ){5}\d{5}$`)
	seen := map[string]bool{}
	a, b := mustPublic(t, publicA), mustPublic(t, publicB)
	for range 8 {
		f := Fingerprint(a, b)
		if !form.MatchString(f) || seen[f] {
			t.Errorf("%q is of another form, or not new", f)
		}
		seen[f] = true
		if back := Fingerprint(b, a); back != f {
			t.Errorf("got %s, the other way %s", f, back)
		}
		bit := random.IntN(512)
		if bit < 256 {
			a[bit/8] ^= 1 << (bit % 8)
		} else {
			b[bit/8-32] ^= 1 << (bit % 8)
		}
	}
}
