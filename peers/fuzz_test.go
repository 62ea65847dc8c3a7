package peers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"", "[host]\nmtu = 1\n", Reference, uncommented(), string(manyPeers(3)),
		"[host]\nprivate_key = \"" + privateText + "\"\n", "[[peer]]\npreshared_key = " + pskText + "\n",
		"[[\"\\", "peer = [{name = \"" + privateText + "\"}, 1]", "[[peer]]\nname = \"a\"\nkeepalive = 0\n[peer.x]\n", "\xef\xbb\xbf[host]\n", "a = [[[[{b = 1}]]]]",
		"[host]\nprivate_key_file = \"/etc/" + publicB + "\"\nports = [1, 2]\naddresses = [\"10.0.0.1\"]\n", "\"" + privateText + "\" = 1",
		"[[peer]]\nname=\"b\"\npublic_key=\"" + publicB + "\"\naddresses=[\"203.0.113.5\"]\nendpoint=\"[::2]:1\"\npreshared_key_file=\"/bad.key\"\n",
		"[[peer]]\nname=\"B.example\"\npublic_key=\"" + publicB + "\"\n", "[[peer]]\nname=\"b\"\npublic_key=\"" + publicB + "\"\naddresses=[\"mx.B.example\", \"2001:db8::1\"]\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode("f", data, testEnv)
		if err != nil {
			checkProblems(t, data, err)
			return
		}
		checkConfig(t, c)
	})
}

func checkProblems(t *testing.T, data []byte, err error) {
	t.Helper()
	problems, last := Problems(err), 1
	if len(problems) == 0 {
		t.Fatalf("not a list of problems: %v", err)
	}
	for _, p := range problems {
		if p.Line < last || p.Line > 1+strings.Count(string(data), "\n") {
			t.Errorf("line %d is out of order or outside of the file: %v", p.Line, p)
		}
		if last = p.Line; strings.ContainsFunc(p.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("control characters in %q", p.Error())
		}
	}
	for _, secret := range []string{privateText, pskText} {
		if strings.Contains(err.Error(), secret[:maxDigits+1]) {
			t.Errorf("a key is in %v", err)
		}
	}
}

// checkConfig fails if c breaks what Config promises.
func checkConfig(t *testing.T, c *Config) {
	t.Helper()
	h := c.Host
	if !isHostName(h.Name) || h.PrivateKey.IsZero() || h.ListenPort == 0 || len(h.Ports) == 0 ||
		checkLink(h.Link) != nil || h.Backend == "" || h.MTU != 0 && h.MTU < 1280 || h.MTU > 65535 {
		t.Errorf("host %+v", h)
	}
	for i, port := range h.Ports {
		if port == 0 || i > 0 && h.Ports[i-1] >= port {
			t.Errorf("ports %v", h.Ports)
		}
	}
	names, keys, seen := map[string]bool{}, map[PublicKey]bool{h.PrivateKey.Public(): true}, map[netip.Addr]bool{}
	hosts := map[string]bool{}
	checkAddresses(t, h.Addresses, seen)
	checkDomains(t, h.Domains)
	for _, p := range c.Peers {
		name := strings.ToLower(p.Name)
		if !isHostName(name) || names[name] || keys[p.PublicKey] || p.PublicKey == (PublicKey{}) || len(p.Addresses)+len(p.Names) == 0 || checkPolicy(string(p.Policy)) != nil {
			t.Errorf("peer %+v", p)
		}
		names[name], keys[p.PublicKey] = true, true
		if p.Keepalive%time.Second != 0 || p.Keepalive < 0 || p.Keepalive > 65535*time.Second {
			t.Errorf("keepalive %v", p.Keepalive)
		}
		checkAddresses(t, p.Addresses, seen)
		checkNames(t, p.Names, hosts)
		checkDomains(t, p.Domains)
		checkEndpoint(t, p.Endpoint)
	}
}

func checkAddresses(t *testing.T, all []netip.Addr, seen map[netip.Addr]bool) {
	t.Helper()
	for _, a := range all {
		if !a.IsValid() || seen[a] || checkAddress(a) != nil {
			t.Errorf("address %v", a)
		}
		seen[a] = true
	}
}

// checkNames fails if a name could not be looked up, or is another peer's too.
func checkNames(t *testing.T, all []string, seen map[string]bool) {
	t.Helper()
	for _, name := range all {
		if !isHostName(name) || strings.ToLower(name) != name || seen[name] {
			t.Errorf("name %q", name)
		}
		seen[name] = true
	}
}

func checkDomains(t *testing.T, all []string) {
	t.Helper()
	for i, domain := range all {
		if !isHostName(domain) || strings.ToLower(domain) != domain || slices.Contains(all[:i], domain) {
			t.Errorf("domains %q", all)
		}
	}
}

// checkEndpoint fails if e would not be read back as it is.
func checkEndpoint(t *testing.T, e Endpoint) {
	t.Helper()
	text := fmt.Sprintf("%s:%d", e.Host, e.Port)
	if a, ok := e.Addr(); ok {
		text = a.String()
	}
	if again, err := ParseEndpoint(text); e != (Endpoint{}) && (err != nil || again != e) {
		t.Errorf("endpoint %v reads back as %v, %v", e, again, err)
	}
}
