package peers

import (
	"fmt"
	"slices"
	"strings"
)

// A vocabulary is the keys that a table may have.
type vocabulary []string

// The vocabularies of the file.
var (
	rootKeys = vocabulary{"host", "peer"}
	hostKeys = vocabulary{"name", "private_key_file", "listen_port", "addresses", "ports", "link", "backend", "mtu", "policy", "clear_after", "domains", "metrics", "keep_addresses", "private_addresses"}
	peerKeys = vocabulary{"name", "public_key", "endpoint", "addresses", "preshared_key_file", "keepalive", "policy", "domains", "private_addresses"}
)

func (v vocabulary) has(key string) bool { return slices.Contains(v, key) }

// foreign is advice on the keys of wg-quick's files, and on those that look as
// if they belonged: by name without underscores in lower case.
var foreign = map[string]string{
	"privatekey":          `a private key does not belong in this file: put it into a file of its own with mode 0600, named by host.private_key_file; if others can read this file, make a new key`,
	"presharedkey":        `a preshared key does not belong in this file: put it into a file of its own with mode 0600, named by preshared_key_file; if others can read this file, make a new key`,
	"publickey":           `did you mean "public_key", in [[peer]]?`,
	"allowedips":          `did you mean "addresses"? It takes single addresses, those that the peer's mail comes from and goes to`,
	"address":             `did you mean "addresses"? It takes this host's mail addresses; the link needs none of its own`,
	"listenport":          `did you mean "listen_port", in [host]?`,
	"persistentkeepalive": `did you mean "keepalive"? It takes a duration, such as "25s"`,
	"interface":           `did you mean [host]?`,
	"peers":               `did you mean [[peer]]?`,
}

// known notes every key of the table that is not in the vocabulary, without its
// value: it may be a private key.
func (t table) known(v vocabulary) {
	var unknown []string
	for key := range t.values {
		if !v.has(key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		t.problem(shown(key), "is not a known key: %s", t.advice(key, v))
	}
}

// shown returns a key's name as an error may show it.
func shown(key string) string {
	if key == "" || holdsKey(key) || len(key) > maxQuoted || strings.Trim(key, alnum+"-_") != "" {
		return quote(key)
	}
	return key
}

// advice says what may have been meant by an unknown key.
func (t table) advice(key string, v vocabulary) string {
	if key == "private_key" && v.has("public_key") {
		return "give the peer's public_key; its private key is for its own eyes, and if this is it, the peer needs a new one"
	}
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(key))
	if text, ok := foreign[plain]; ok {
		return text
	}
	if near := nearest(strings.ToLower(key), v); near != "" {
		return fmt.Sprintf("did you mean %s?", t.naming(near))
	}
	switch {
	case !v.has("keepalive") && peerKeys.has(key):
		return "it belongs in [[peer]]"
	case !v.has("mtu") && hostKeys.has(key):
		return "it belongs in [host]"
	}
	return "the keys here are " + strings.Join(v, ", ")
}

// naming returns a key as it is written.
func (t table) naming(key string) string {
	switch {
	case t.path != "":
		return fmt.Sprintf("%q", key)
	case key == "peer":
		return "[[peer]]"
	}
	return "[" + key + "]"
}

// nearest returns the word that key is misspelt from, or "".
func nearest(key string, words vocabulary) (best string) {
	least := max(1, min(len(key)/3, 3)) + 1
	for _, w := range words {
		if len(key) > len(w)+least {
			continue
		}
		if n := distance(key, w); n < least {
			best, least = w, n
		}
	}
	return best
}

// distance returns how many bytes must be added, removed, replaced or swapped
// with their neighbours to make b of a.
func distance(a, b string) int {
	var before, above []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := above[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
