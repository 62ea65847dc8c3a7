package peers

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// cardKeys are the keys that a card may have.
var cardKeys = vocabulary{"name", "public_key", "endpoint", "addresses", "keepalive", "domains"}

// notOnCards is why the other keys of [[peer]] do not come from somebody else.
var notOnCards = map[string]string{
	"preshared_key_file": "does not belong on a card: it names a file of the host that has the peers file; add the peer without it, then set it there",
	"private_addresses":  "does not belong on a card: it is for each host to decide, in its own peers file",
	"policy":             "does not belong on a card: it is for each host to decide, in its own peers file",
}

// MaxCardSize is how large a card may be, with the text around it, in bytes.
const MaxCardSize = 64 << 10

// ParseCard returns the peer of a card: the [[peer]] of a peers file, and
// nothing else but comments. It may stand in a letter, quoted ("> ") or not,
// with words around it. The peer's policy is [Require]. Name is the card's, for
// errors, which are as [Decode]'s and quote no key.
func ParseCard(name string, text []byte) (Peer, error) {
	if len(text) > MaxCardSize {
		return Peer{}, errors.New("this is too large for a card: give the text from [[peer]] on")
	}
	text = bytes.ReplaceAll([]byte(withoutBOM(string(text))), []byte("\u00a0"), []byte(" ")) // some mail programs write such spaces
	d := newCard(name)
	root, ok := d.parse(text)
	if !ok { // a letter, then
		cut, err := cutCard(string(text))
		if err != nil {
			return Peer{}, err
		}
		d = newCard(name)
		root, _ = d.parse([]byte(cut))
	}
	p := d.card(root)
	return p, join(d.problems)
}

func newCard(name string) *decoder {
	return &decoder{file: name, names: map[string]owner{}, keys: map[PublicKey]owner{}, addrs: map[netip.Addr]owner{}, hosts: map[string]owner{},
		lines: func() lines { return nil }}
}

// card decodes the top level of a card.
func (d *decoder) card(root map[string]any) Peer {
	t := table{d: d, values: root}
	t.known(vocabulary{"peer"})
	all := t.peers()
	if len(all) != 1 && len(d.problems) == 0 {
		d.problem(1, "", "", "there are %d of [[peer]]: a card has one; add them one at a time", len(all))
	}
	if len(d.problems) > 0 {
		return Peer{}
	}
	for _, key := range peerKeys {
		if _, given := all[0].values[key]; given && !cardKeys.has(key) {
			all[0].problem(key, "%s", notOnCards[key])
			delete(all[0].values, key) // no file is read for a stranger
		}
	}
	return d.peer(all[0], Host{}, Require)
}

var (
	cardHeader = regexp.MustCompile(`(?m)^([> \t|]*)\[\[[ \t]*peer[ \t]*\]\]`)
	secretKey  = regexp.MustCompile(`(?i)\b(private|preshared)_?key[ \t]*=`)
	assignment = regexp.MustCompile(`^[ \t]*[A-Za-z_-]+[ \t]*=[ \t]*(\[[^\]]*$)?`)
)

// cutCard returns the card in a letter, its lines with the numbers that they
// have there.
func cutCard(text string) (string, error) {
	headers := cardHeader.FindAllStringSubmatchIndex(text, -1)
	switch {
	case secretKey.MatchString(text):
		return "", errors.New("there is a secret key in it, which nobody should have sent: take it for known, and have a new one made; " +
			"a card has the public_key only")
	case len(headers) == 0:
		return "", errors.New("there is no card in it: a card is what `postroad card` prints on the other host, with a line [[peer]]")
	case len(headers) > 1:
		return "", fmt.Errorf("there are %d cards in it: add them one at a time", len(headers))
	}
	start, prefix := headers[0][0], text[headers[0][2]:headers[0][3]]
	return strings.Repeat("\n", strings.Count(text[:start], "\n")) + unquotedCard(text[start:], prefix), nil
}

// unquotedCard returns the lines of a text that belong to the [[peer]] in its
// first one, without the prefix that a mail program put before each.
func unquotedCard(text, prefix string) string {
	var card strings.Builder
	open := false // an array that goes over several lines
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(strings.TrimRight(line, " \t\r\n"), strings.TrimRight(prefix, " \t"))
		m := assignment.FindStringSubmatch(line)
		switch {
		case !ok:
			return card.String()
		case open:
			open = !strings.Contains(line, "]")
		case m != nil:
			open = m[1] != ""
		case !isEmpty(line) && !isComment(line) && !strings.HasPrefix(strings.TrimLeft(line, " \t"), "["):
			return card.String()
		}
		card.WriteString(line + "\n")
	}
	return card.String()
}
