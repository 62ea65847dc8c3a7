package peers

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var someLatches = Latches{{"mx.a.example", PublicKey{1}}, {"mx.b.example", PublicKey{2}}}

func TestLatchesAreKept(t *testing.T) {
	f := LatchFile(filepath.Join(t.TempDir(), "new", "latched.json"))
	if got, err := f.Load(); len(got) > 0 || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	for _, want := range []Latches{someLatches, {}, nil} {
		if err := f.Save(want); err != nil {
			t.Fatal(err)
		}
		got, err := f.Load()
		if err != nil || len(got) != len(want) || len(want) > 0 && cmp.Diff(want, got) != "" {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	if err := LatchFile(filepath.Join(string(f), "x")).Save(someLatches); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a folder that cannot be: %v", err)
	}
}

// What cannot be understood says nothing, least of all that nobody has answered.
func TestBrokenLatches(t *testing.T) {
	for name, text := range map[string]string{
		"empty":      "",
		"cut off":    `{"answered":[{"name":"mx.a.example","public_k`,
		"null":       "null",
		"no list":    "{}",
		"null list":  `{"answered":null}`,
		"no key":     `{"answered":[{"name":"mx.a.example"}]}`,
		"no name":    `{"answered":[{"public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="}]}`,
		"not a list": `{"answered":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := LatchFile(filepath.Join(t.TempDir(), "latched.json"))
			if err := os.WriteFile(string(f), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := f.Load(); err == nil || !strings.Contains(err.Error(), string(f)) || got != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if _, err := LatchFile(t.TempDir()).Load(); err == nil {
		t.Error("a folder is no file")
	}
}

// A peer with a new key, or a new name, is still the one that has answered.
func TestLatchesKnowAPeerByNameOrKey(t *testing.T) {
	for _, test := range []struct {
		peer Peer
		want bool
	}{
		{Peer{Name: "mx.a.example", PublicKey: PublicKey{1}}, true},
		{Peer{Name: "MX.A.example", PublicKey: PublicKey{9}}, true},
		{Peer{Name: "mx.new.example", PublicKey: PublicKey{1}}, true},
		{Peer{Name: "mx.new.example", PublicKey: PublicKey{9}}, false},
	} {
		for _, policy := range []Policy{Require, Prefer, Latch} {
			test.peer.Policy = policy
			c := &Config{Peers: []Peer{test.peer}}
			held := someLatches.Of(c)
			if held[test.peer.PublicKey] != test.want {
				t.Errorf("%s: held %v", test.peer.Name, held)
			}
			if got, want := c.Open(held)[test.peer.PublicKey], policy != Require && !test.want; got != want {
				t.Errorf("%s, %s: open is %v", test.peer.Name, policy, got)
			}
			if got := c.Latches(held); test.want != (cmp.Diff(Latches{{test.peer.Name, test.peer.PublicKey}}, got) == "") {
				t.Errorf("%s: remembered as %v", test.peer.Name, got)
			}
		}
	}
}

// Whatever is in the file: what is taken from it comes back when it is written
// again, and holds the peers that it names, and no others.
func FuzzParseLatches(f *testing.F) {
	const a = `{"name":"mx.a.example","public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="}`
	for _, text := range []string{
		`{"answered":[` + a + `]}`, `{"answered":[` + a + `,` + a + `]}`, `{"answered":[]}`, `{"answered":null}`, "null", "{}", "", `{"answered":[` + a,
		`{"answered":[{"name":"MX.a.example","public_key":null}]}`, `{"answered":[{"name":"a\u0000b","public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseLatches(data)
		if err != nil {
			if l != nil {
				t.Errorf("%+v is taken beside %v", l, err)
			}
			return
		}
		for _, x := range l {
			if checkHostName(x.Name) != nil || x.PublicKey == (PublicKey{}) {
				t.Errorf("%+v was taken from %q", x, data)
			}
			c := &Config{Peers: []Peer{{Name: x.Name, PublicKey: PublicKey{1}}, {Name: "other.example", PublicKey: x.PublicKey}, {Name: "z", PublicKey: PublicKey{2}}}}
			if held := l.Of(c); !held[PublicKey{1}] || !held[x.PublicKey] {
				t.Errorf("%+v is not held", x)
			}
		}
		text, err := json.Marshal(latchFile{l})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseLatches(text); err != nil || !slices.Equal(again, l) {
			t.Errorf("%+v comes back as %+v, %v", l, again, err)
		}
	})
}
