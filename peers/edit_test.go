package peers

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// partner is a peer to add.
func partner(t *testing.T) Peer {
	return Peer{
		Name: "new.example", PublicKey: mustPublic(t, publicB), Endpoint: Endpoint{"2001:db8:c::1", 51825},
		Addresses: addrs("192.0.2.1", "2001:db8:c::1"), Domains: []string{"new.example"},
	}
}

const partnerBlock = `[[peer]]
name = "new.example"
public_key = "` + publicB + `"
endpoint = "[2001:db8:c::1]:51825"
addresses = ["192.0.2.1", "2001:db8:c::1"]
domains = ["new.example"]
`

const peerA = "name = \"a.example\"\npublic_key = \"" + publicA + "\"\n"

func TestAdd(t *testing.T) {
	a := "[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]"
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", partnerBlock},
		{"comment", "# mine\n", "# mine\n\n" + partnerBlock},
		{"no newline at the end", a, a + "\n\n" + partnerBlock},
		{"comment without newline at the end", a + " # mine", a + " # mine\n\n" + partnerBlock},
		{"CRLF", "# mine\r\n[host]\r\nmtu = 1420", "# mine\r\n[host]\r\nmtu = 1420\r\n\r\n" + strings.ReplaceAll(partnerBlock, "\n", "\r\n")},
		{"reference", Reference, Reference + "\n" + partnerBlock},
		{"another default policy", "[host]\npolicy = \"latch\"\n", "[host]\npolicy = \"latch\"\n\n" + partnerBlock},
		{"after a sub-table", a + "\n[host]\n", a + "\n[host]\n\n" + partnerBlock},
	} {
		got, err := Add("f", []byte(tt.in), testEnv, partner(t))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if d := diff(tt.want, string(got.Text)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
		if at := strings.SplitAfterN(string(got.Text), "\n", got.Line)[got.Line-1]; !strings.HasPrefix(at, "[[peer]]") {
			t.Errorf("%s: line %d is %q", tt.name, got.Line, at)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	with := func(change func(*Peer)) Peer {
		p := partner(t)
		change(&p)
		return p
	}
	file := strings.Replace(partnerBlock, "new.example", "old.example", 1)
	for _, tt := range []struct {
		name, in string
		p        Peer
		want     string
	}{
		{"broken file", "[[peer]]\nname = 1", partner(t), "f:2: peer 1: name: is an integer"},
		{"inline tables", "peer = [{name = \"a.example\", public_key = \"" + publicA + "\", addresses = [\"203.0.113.5\"]}]", partner(t), "inline tables"},
		{"empty inline", "peer = []", partner(t), "inline tables"},
		{"another key", partnerBlock, with(func(p *Peer) { p.PublicKey = mustPublic(t, publicA) }), "there already, with another public_key:"},
		{"another address", partnerBlock, with(func(p *Peer) { p.Addresses = addrs("192.0.2.2"); p.Domains = nil }),
			"there already, with another addresses, another domains: to replace it"},
		{"key of another", file, partner(t), `adding peer "new.example": public_key: is that of peer "old.example" too (line 3)`},
		{"address of another", strings.Replace(file, publicB, publicA, 1), partner(t), `"192.0.2.1" is an address of peer "old.example" too (line 5)`},
		{"own key", "", with(func(p *Peer) { p.PublicKey = mustPublic(t, ownPublic) }), "the card of this host itself"},
	} {
		got, err := Add("f", []byte(tt.in), testEnv, tt.p)
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrAlready) {
			t.Errorf("%s: got %s, %v, want %q", tt.name, got.Text, err, tt.want)
		}
	}
}

// What the operator has set beyond the card does not make it another peer.
func TestAddAgain(t *testing.T) {
	in := strings.Replace(partnerBlock, "new", "New", 1) + "keepalive = \"25s\"\npreshared_key_file = \"/etc/postroad/partner.psk\"\n"
	p := partner(t)
	p.Addresses = addrs("2001:db8:c::1", "192.0.2.1")
	if _, err := Add("f", []byte(in), testEnv, p); !errors.Is(err, ErrAlready) {
		t.Errorf("got %v, want ErrAlready", err)
	}
}

func TestRemove(t *testing.T) {
	const b = "[[peer]]\nname = \"b.example\"\npublic_key = \"" + publicB + "\"\naddresses = [\"203.0.113.6\"]\n"
	for _, tt := range []struct{ name, in, want, gone string }{
		{"alone", "[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]", "[host]\n", "[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]"},
		{"with comments", "# file\n\n# a\n  # still a\n[[ peer ]] # a\n" + peerA + "addresses = [ # one\n\"203.0.113.5\", # two\n] # three\n# last\n\n# b\n" + b,
			"# file\n\n# b\n" + b,
			"# a\n  # still a\n[[ peer ]] # a\n" + peerA + "addresses = [ # one\n\"203.0.113.5\", # two\n] # three\n# last\n"},
		{"next to another", "[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]\n# b\n" + b, "# b\n" + b, "[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]\n"},
		{"comment of the one before", b + "# a\n[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]\n", b, "# a\n[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]\n"},
		{"last", b + "\n[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]\n", b, "[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]\n"},
		{"before [host]", "[[peer]]\r\n" + peerA + "addresses = [\"203.0.113.5\"]\r\n\r\n[host]\r\nmtu = 1400\r\n", "[host]\r\nmtu = 1400\r\n",
			"[[peer]]\r\n" + peerA + "addresses = [\"203.0.113.5\"]\r\n"},
	} {
		got, err := Remove("f", []byte(tt.in), testEnv, "A.example")
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if d := diff([]string{tt.want, tt.gone}, []string{string(got.Text), got.Lines}); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// What looks like a comment above the block may be the end of a string.
func TestCutBlockKnowsStrings(t *testing.T) {
	const before, block = "[host]\nx = \"\"\"\n# y\"\"\"\n", "[[peer]]\nname = \"\"\"\n[[peer]]\"\"\"\n"
	edited, gone, line, ok := cutBlock([]byte(before+block), 0)
	if string(edited) != before || gone != block || line != 4 || !ok {
		t.Errorf("got %q, %q, %d, %v", edited, gone, line, ok)
	}
}

// Nothing is written if an edit would not do what it should.
func TestEditIsChecked(t *testing.T) {
	c := &Config{Host: defaults(t), Peers: []Peer{partner(t)}}
	for _, got := range []*Config{c.minus(0), c.plus(partner(t)), {Peers: c.Peers}} {
		if c.must(got) == nil {
			t.Errorf("%+v passes for %+v", got, c)
		}
	}
	if err := c.must(&Config{Host: c.Host, Peers: []Peer{partner(t)}}); err != nil {
		t.Error(err)
	}
}

func TestRemoveRefuses(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "it has none"},
		{partnerBlock, "it has new.example"},
		{string(manyPeers(12)), "and 2 more"},
		{"peer = [{name = \"a.example\", public_key = \"" + publicA + "\", addresses = [\"203.0.113.5\"]}]", "inline tables"},
	} {
		if _, err := Remove("f", []byte(tt.in), testEnv, "a.example"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

// A file of 2,000 lines with comments changes by the added lines only, and by
// removing them again not at all.
func TestEditLargeFile(t *testing.T) {
	var b strings.Builder
	b.WriteString("# ours\n[host]\n\tmtu   =  1400 # odd\n\n")
	for i := 0; strings.Count(b.String(), "\n") < 2000; i++ {
		key := bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, 11)[:32]
		fmt.Fprintf(&b, "## %d ## \n[[ peer ]]\nname='p%d.example' # x\npublic_key = %q\naddresses = [ \"10.%d.%d.1\" ,\n  # more\n]\n\n",
			i, i, PublicKey(key), i>>8, i&255)
	}
	old := b.String()
	added, err := Add("f", []byte(old), testEnv, partner(t))
	if err != nil {
		t.Fatal(err)
	}
	if string(added.Text) != old+"\n"+partnerBlock {
		t.Error("more than the added lines changed")
	}
	removed, err := Remove("f", added.Text, testEnv, "new.example")
	if err != nil || string(removed.Text) != old {
		t.Errorf("it is not as before: %v", err)
	}
}

// Whatever the file: an edit fails, or changes that peer and nothing else.
func FuzzEdit(f *testing.F) {
	for _, s := range []string{
		"", "\xef\xbb\xbf", "# x", Reference, uncommented(), string(manyPeers(3)), partnerBlock, "peer = []", "[host]\r\nmtu = 1400\r\n",
		"[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\",\n#x\n]#y\n#z\n\n#w\n[host]\n",
		"[[peer]]\n" + peerA + "addresses = [\"203.0.113.5\"]\n[[\"peer\"]]\nname=\"b\"\npublic_key='" + publicB + "'\naddresses=[\"203.0.113.6\"]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		old, err := Decode("f", data, testEnv)
		if err != nil {
			return
		}
		checkAdd(t, data, old)
		for i, p := range old.Peers {
			checkRemove(t, data, old, i, p.Name)
		}
	})
}

func checkAdd(t *testing.T, data []byte, old *Config) {
	t.Helper()
	c, err := Add("f", data, testEnv, partner(t))
	if err != nil {
		return
	}
	now, err := Decode("f", c.Text, testEnv)
	if err != nil || !bytes.HasPrefix(c.Text, data) || len(now.Peers) != len(old.Peers)+1 {
		t.Fatalf("added: %q: %v", c.Text, err)
	}
	back, err := Remove("f", c.Text, testEnv, "new.example")
	if err != nil {
		t.Fatal(err)
	}
	if rest := bytes.TrimPrefix(ofPeers(back.Text), data); len(rest) > 2 || strings.Trim(string(rest), "\r\n") != "" {
		t.Errorf("%q is %q after adding and removing", data, back.Text)
	}
}

// ofPeers is text without what Remove writes where nothing is left.
func ofPeers(text []byte) []byte {
	if string(text) == "[host]\n" {
		return nil
	}
	return text
}

func checkRemove(t *testing.T, data []byte, old *Config, i int, name string) {
	t.Helper()
	c, err := Remove("f", data, testEnv, name)
	if errors.Is(err, errInline) {
		return
	}
	if err != nil {
		t.Fatalf("removing %q of %q: %v", name, data, err)
	}
	now, err := Decode("f", c.Text, testEnv)
	if err != nil || len(now.Peers) != len(old.Peers)-1 {
		t.Fatalf("removed: %q: %v", c.Text, err)
	}
	start := bytes.Index(data, []byte(c.Lines)) // what stays is what was before and after
	if rest := len(ofPeers(c.Text)); start < 0 || rest > len(data)-len(c.Lines) || rest < len(data)-len(c.Lines)-2 {
		t.Errorf("%q less %q is %q", data, c.Lines, c.Text)
	}
	if now.index(name) >= 0 || i < len(now.Peers) && now.Peers[i].Name != old.Peers[i+1].Name {
		t.Errorf("another peer than %q went", name)
	}
}
