package peers

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNewPrivateKey(t *testing.T) {
	a, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := NewPrivateKey()
	if a == b || a.IsZero() || a != PrivateKeyFrom(a.Bytes()) {
		t.Error("two new keys are not two keys")
	}
	if k := a.Bytes(); k[0]&7 != 0 || k[31]&0xc0 != 0x40 {
		t.Error("a new key is not clamped")
	}
	if again, err := ParsePrivateKey(a.Reveal()); err != nil || again != a {
		t.Errorf("a new key does not survive base64: %v", err)
	}
}

// The vectors are those of RFC 7748 section 6.1.
func TestPublic(t *testing.T) {
	k, err := ParsePrivateKey("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := k.Public().String(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="; got != want {
		t.Errorf("Public gives %s, want %s", got, want)
	}
}

func TestParseKey(t *testing.T) {
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"plain", publicA, nil},
		{"white space", " \t" + publicA + "\r\n", nil},
		{"empty", "", errKeyText},
		{"short", publicA[:43], errKeyText},
		{"31 bytes", base64.StdEncoding.EncodeToString(make([]byte, 31)), errKeyText},
		{"33 bytes", base64.StdEncoding.EncodeToString(make([]byte, 33)), errKeyText},
		{"64 bytes", base64.StdEncoding.EncodeToString(make([]byte, 64)), errKeyText},
		{"URL alphabet", strings.Replace(publicA, "x", "_", 1), errKeyText},
		{"newline within", publicA[:20] + "\n" + publicA[21:], errKeyText},
		{"loose bits", publicA[:42] + "h=", errKeyText},
		{"zero", zero, errKeyZero},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, private := ParsePrivateKey(tt.in)
			_, public := ParsePublicKey(tt.in)
			_, psk := ParsePresharedKey(tt.in)
			if private != tt.want || public != tt.want || psk != tt.want {
				t.Errorf("got %v, %v, %v, want %v", private, public, psk, tt.want)
			}
		})
	}
}

func TestPublicKeyText(t *testing.T) {
	k := mustPublic(t, publicA)
	text, err := json.Marshal(k)
	if err != nil || string(text) != `"`+publicA+`"` {
		t.Fatalf("marshalling gives %s, %v", text, err)
	}
	var again PublicKey
	if err := json.Unmarshal(text, &again); err != nil || again != k {
		t.Errorf("unmarshalling gives %v, %v", again, err)
	}
	if err := json.Unmarshal([]byte(`"x"`), &again); err == nil || again != k {
		t.Errorf("unmarshalling nonsense gives %v, %v", again, err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	host := defaults(t)
	psk := mustPSK(t, pskText)
	config := Config{Host: host, Peers: []Peer{{Name: "b", PresharedKey: psk}}}
	for _, v := range []any{
		host.PrivateKey, &host.PrivateKey, psk, &psk, config, &config, host, config.Peers,
		struct{ Key any }{psk}, map[string]PrivateKey{"k": host.PrivateKey}, []PresharedKey{psk},
	} {
		out := printed(t, v)
		for _, leak := range leaks(host.PrivateKey.Bytes(), psk.Bytes()) {
			if strings.Contains(out, leak) {
				t.Errorf("%T prints a secret as %q:\n%s", v, leak, out)
			}
		}
		if !strings.Contains(out, redacted) {
			t.Errorf("%T prints no %s:\n%s", v, redacted, out)
		}
	}
}

// printed returns all that can be made of v.
func printed(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%t", "%10v"} {
		fmt.Fprintf(&b, format+"\n", v)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b.String() + string(text) + fmt.Sprint(v) + fmt.Sprintln(v)
}

// leaks returns what a secret looks like in print: all of it, or three bytes of
// its middle.
func leaks(secrets ...[32]byte) (all []string) {
	for _, k := range secrets {
		b := k[10:13]
		all = append(all, base64.StdEncoding.EncodeToString(k[:])[8:20], fmt.Sprintf("%x", b), fmt.Sprintf("%X", b),
			fmt.Sprintf("%d, %d, %d", b[0], b[1], b[2]), fmt.Sprintf("%d %d %d", b[0], b[1], b[2]),
			fmt.Sprintf("%#x, %#x, %#x", b[0], b[1], b[2]))
	}
	return all
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{publicA, " " + privateText + "\n", "", "AAAA", strings.Repeat("A", 43) + "=", publicA[:43] + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		public, err := ParsePublicKey(s)
		private, err2 := ParsePrivateKey(s)
		psk, err3 := ParsePresharedKey(s)
		if (err == nil) != (err2 == nil) || (err == nil) != (err3 == nil) {
			t.Fatalf("the kinds differ: %v, %v, %v", err, err2, err3)
		}
		if err != nil {
			if err != errKeyText && err != errKeyZero {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		if text := strings.TrimSpace(s); public.String() != text || psk.Bytes() != [32]byte(public) {
			t.Fatalf("%q reads as %v", s, public)
		}
		raw := public
		if want, _ := ecdh.X25519().NewPrivateKey(raw[:]); private.Public() != PublicKey(want.PublicKey().Bytes()) {
			t.Fatal("clamping changes the public key")
		}
	})
}
