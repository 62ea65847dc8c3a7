package peers

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// uncommented returns the reference file with all its settings on.
func uncommented() string {
	return regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAllString(Reference, "$1")
}

func TestReference(t *testing.T) {
	got, err := Decode("reference.toml", []byte(Reference), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(&Config{Host: defaults(t)}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestReferenceUncommented(t *testing.T) {
	want := Config{Host: defaults(t), Peers: []Peer{{
		Name:         "mx.partner.example",
		PublicKey:    mustPublic(t, publicA),
		Endpoint:     Endpoint{"mx.partner.example", 51825},
		Addresses:    addrs("203.0.113.5", "2001:db8:b::5"),
		PresharedKey: mustPSK(t, pskText),
		Keepalive:    0 * time.Second,
		Policy:       Require,
		Domains:      []string{"partner.example"},
	}}}
	want.Host.MTU = 1420
	want.Host.Domains = []string{"example.org"}
	want.Host.Addresses = addrs("198.51.100.7", "2001:db8:a::7")
	want.Host.Metrics = netip.MustParseAddrPort("127.0.0.1:9525")
	got, err := Decode("reference.toml", []byte(uncommented()), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(&want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestReferenceIsComplete(t *testing.T) {
	host, peer, _ := strings.Cut(uncommented(), "[[peer]]\n")
	for _, part := range []struct {
		text string
		keys vocabulary
	}{{host, hostKeys}, {peer, peerKeys}} {
		for _, key := range part.keys {
			if !strings.Contains(part.text, "\n"+key+" = ") {
				t.Errorf("%q is not in the reference file", key)
			}
		}
	}
}
