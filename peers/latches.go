package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// DefaultLatchFile is where the daemon remembers which peers have answered.
const DefaultLatchFile = "/var/lib/postroad/latched.json"

// Latches are the peers that have answered, as they are remembered on disk: no
// restart lets the mail of a latched peer out.
type Latches []Latched

// A Latched is a peer that has answered.
type Latched struct {
	Name      string    `json:"name"`
	PublicKey PublicKey `json:"public_key"`
}

// Of returns which peers of c have answered. One that has got another key, or
// another name, is still the same; who was taken out of the file is forgotten.
func (l Latches) Of(c *Config) map[PublicKey]bool {
	names, keys := map[string]bool{}, map[PublicKey]bool{}
	for _, x := range l {
		names[strings.ToLower(x.Name)], keys[x.PublicKey] = true, true
	}
	held := map[PublicKey]bool{}
	for _, p := range c.Peers {
		if keys[p.PublicKey] || names[strings.ToLower(p.Name)] {
			held[p.PublicKey] = true
		}
	}
	return held
}

// Latches is the inverse of [Latches.Of].
func (c *Config) Latches(held map[PublicKey]bool) Latches {
	l := Latches{}
	for _, p := range c.Peers {
		if held[p.PublicKey] {
			l = append(l, Latched{p.Name, p.PublicKey})
		}
	}
	return l
}

// Open returns the peers whose SMTP their policy lets go in clear, if those that
// are held have answered.
func (c *Config) Open(held map[PublicKey]bool) map[PublicKey]bool {
	open := map[PublicKey]bool{}
	for _, p := range c.Peers {
		if p.Policy.MayBypass() && !held[p.PublicKey] {
			open[p.PublicKey] = true
		}
	}
	return open
}

// A LatchFile is the path of a file that keeps [Latches].
type LatchFile string

// latchFile is what the file says.
type latchFile struct {
	Answered Latches `json:"answered"`
}

// Save writes the latches, whole or not at all.
func (f LatchFile) Save(l Latches) error {
	if l == nil {
		l = Latches{}
	}
	if err := memorize(string(f), latchFile{l}); err != nil {
		return fmt.Errorf("remembering which peers have answered: %w", err)
	}
	return nil
}

// Load reads what Save wrote. No file means that no peer has answered, and is no
// error; after an error nothing is known, and every peer is to be taken for one
// that has.
func (f LatchFile) Load() (Latches, error) {
	l, err := recall(string(f), parseLatches)
	if err != nil {
		return nil, fmt.Errorf("reading which peers have answered, from %s: %w: put the file right, or remove it to forget them all, and then `postroad reload`", f, err)
	}
	return l, nil
}

func parseLatches(data []byte) (Latches, error) {
	var file latchFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if file.Answered == nil {
		return nil, errors.New(`it has no list "answered"`)
	}
	for _, l := range file.Answered {
		if checkHostName(l.Name) != nil || l.PublicKey == (PublicKey{}) {
			return nil, errors.New("a name or a public key is missing")
		}
	}
	return file.Answered, nil
}
