package peers

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// letter puts a card into a mail, with a prefix before each line.
func letter(prefix, card string) string {
	quoted := prefix + strings.ReplaceAll(strings.TrimRight(card, "\n"), "\n", "\n"+prefix)
	return "Dear Ann,\nhere it is [see below] = good:\n\n" + quoted + "\n\nRegards, Bob\n-- \nwww.example = [\n"
}

func TestParseCard(t *testing.T) {
	want := partner(t)
	want.Policy = Require
	wide := strings.Replace(partnerBlock, `["192.0.2.1", "2001:db8:c::1"]`, "[\n  \"192.0.2.1\",\n\n  \"2001:db8:c::1\",\n]", 1)
	card := "# My card.\n\n" + strings.Replace(partnerBlock, "endpoint", "\n# where\nendpoint", 1) + "# end\n"
	for name, text := range map[string]string{
		"plain":           partnerBlock,
		"comments":        card,
		"BOM":             "\xef\xbb\xbf" + card,
		"CRLF":            strings.ReplaceAll(card, "\n", "\r\n"),
		"letter":          letter("", card),
		"indented":        letter("    ", card),
		"quoted":          letter("> ", card),
		"quoted twice":    letter(">> ", wide),
		"quoted, no end":  strings.TrimSpace(letter("> ", card)[:strings.Index(letter("> ", card), "\n\nReg")]),
		"quoted, CRLF":    strings.ReplaceAll(letter("> ", wide), "\n", "\r\n"),
		"hard spaces":     strings.ReplaceAll(letter("> ", wide), " ", "\u00a0"),
		"trailing spaces": strings.ReplaceAll(letter("> ", wide), "\n", "  \n"),
	} {
		got, err := ParseCard("card", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestParseCardRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", "card:1: there are 0 of [[peer]]: a card has one"},
		{"no card", "Dear Ann,\nhere it is.\n", "there is no card in it"},
		{"two", partnerBlock + "[[peer]]\nname = \"b\"\n", "there are 2 of [[peer]]"},
		{"two in a letter", letter("", partnerBlock) + letter("> ", partnerBlock), "there are 2 cards in it"},
		{"with a host", "[host]\nname = \"a\"\n" + partnerBlock, "card:1: host: is not a known key"},
		{"unknown key", partnerBlock + "policy2 = 1\n", `card:7: peer "new.example": policy2: is not a known key`},
		{"unknown key in a letter", letter("> ", partnerBlock+"tls = true\n"), `card:10: peer "new.example": tls: is not a known key`},
		{"table in a letter", letter("> ", partnerBlock+"[host]\nmtu = 1400\n"), "host: is not a known key"},
		{"file", partnerBlock + "preshared_key_file = \"/etc/shadow\"\n", "card:7: peer \"new.example\": preshared_key_file: does not belong on a card"},
		{"policy", partnerBlock + "policy = \"require\"\n", "policy: does not belong on a card"},
		{"private key", partnerBlock + "private_key = \"" + privateText + "\"\n", "give the peer's public_key"},
		{"private key in a letter", letter("", partnerBlock) + "PrivateKey = " + privateText + "\n", "there is a secret key in it"},
		{"no key", "[[peer]]\nname = \"a\"\naddresses = [\"192.0.2.1\"]\n", "public_key: is missing"},
		{"bad address", strings.Replace(partnerBlock, "192.0.2.1", "127.0.0.1", 1), "is a loopback address"},
		{"broken off", "[[peer]]\nname = \"a", "card:2: not TOML"},
		{"quoted-printable", letter("", strings.ReplaceAll(partnerBlock, "= ", "=3D ")), "not TOML"},
		{"large", strings.Repeat("#", MaxCardSize+1), "too large for a card"},
	} {
		p, err := ParseCard("card", []byte(tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want %q", tt.name, p, err, tt.want)
		}
		noSecrets(t, err)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was opened", tt.name)
		}
	}
}

// What Block writes ParseCard reads, and whatever it reads is sound.
func FuzzParseCard(f *testing.F) {
	for _, s := range []string{partnerBlock, letter("> ", partnerBlock), letter("", "[[peer]]\nname = \"a\"\naddresses = [\n"), "[[peer]]\nkeepalive = \"25s\"", "> [[peer]]\n>", "[[peer]]\nname = \"B.example\"\npublic_key = \"" + publicB + "\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseCard("f", text)
		if err != nil {
			return
		}
		if !isHostName(p.Name) || p.PublicKey == (PublicKey{}) || len(p.Addresses)+len(p.Names) == 0 || !p.PresharedKey.IsZero() {
			t.Errorf("peer %+v", p)
		}
		again, err := ParseCard("f", []byte(p.Block()))
		if d := diff(p, again); err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
	})
}
