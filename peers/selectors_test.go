package peers

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

var someSelectors = Selectors{Link: "postroad0", Ports: []uint16{25, 587},
	Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("2001:db8:b::5")}}

func TestSelectorsComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "selectors.json")
	if got, err := LoadSelectors(path); err != nil || len(got.Addresses) > 0 {
		t.Errorf("no file: got %v, %v", got, err)
	}
	for _, want := range []Selectors{someSelectors, {Link: "road1", Ports: []uint16{25}}} { // the second in place of the first
		if err := want.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := LoadSelectors(path)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSelectorsOfConfig(t *testing.T) {
	c := &Config{Host: Host{Link: "postroad0", Ports: []uint16{25, 587}},
		Peers: []Peer{{Addresses: someSelectors.Addresses[:1]}, {Addresses: someSelectors.Addresses[1:]}}}
	eq := cmpopts.EquateComparable(netip.Addr{})
	if diff := cmp.Diff(someSelectors, c.Selectors(nil), eq); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(someSelectors, c.Selectors(nil).Config().Selectors(nil), eq); diff != "" {
		t.Errorf("and back (-want +got):\n%s", diff)
	}
}

// What cannot be written leaves what was there.
func TestSelectorsThatCannotBeSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := someSelectors.Save(filepath.Join(path, "selectors.json")); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("got %v", err)
	}
	if err := someSelectors.Save(filepath.Join(t.TempDir(), "new", "selectors.json")); err != nil {
		t.Errorf("a folder that is not there yet: %v", err)
	}
}

func TestBrokenSelectors(t *testing.T) {
	for name, text := range map[string]string{
		"empty":            "",
		"cut off":          `{"link":"postroad0","ports":[25],"addr`,
		"no link":          `{"ports":[25],"addresses":["203.0.113.5"]}`,
		"no ports":         `{"link":"postroad0","addresses":["203.0.113.5"]}`,
		"port 0":           `{"link":"postroad0","ports":[0],"addresses":["203.0.113.5"]}`,
		"a loopback peer":  `{"link":"postroad0","ports":[25],"addresses":["127.0.0.1"]}`,
		"an empty address": `{"link":"postroad0","ports":[25],"addresses":[""]}`,
		"no address":       `{"link":"postroad0","ports":[25],"addresses":[null]}`,
		"a name":           `{"link":"postroad0","ports":[25],"addresses":["mx.partner.example"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "selectors.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := LoadSelectors(path)
			if err == nil || !strings.Contains(err.Error(), path) || len(got.Addresses) > 0 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// Whatever is in the file: what is taken from it is what a peers file may say, and
// comes back when it is written again.
func FuzzParseSelectors(f *testing.F) {
	for _, text := range []string{
		`{"link":"postroad0","ports":[25,587],"addresses":["203.0.113.5","2001:db8:b::5"]}`, `{"link":"a/b","ports":[70000],"addresses":[null]}`,
		`{"link":"postroad0","ports":[25],"addresses":[""]}`, `{"link":"postroad0","ports":[25],"addresses":null}`, "null", "{}", "",
		`{"link":"postroad0","ports":[25],"addresses":["fe80::1%eth0"]}`, `{"LINK":"postroad0","Ports":[25,25],"addresses":["203.0.113.5"],"addresses":["::ffff:203.0.113.5"]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSelectors(data)
		if err != nil {
			return
		}
		for _, a := range s.Addresses {
			if !a.IsValid() || a.IsLoopback() || a.IsUnspecified() {
				t.Errorf("%q was taken from %q", a, data)
			}
		}
		if len(s.Ports) == 0 || checkLink(s.Link) != nil {
			t.Errorf("%+v was taken from %q", s, data)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseSelectors(text); err != nil || !again.Equal(s) {
			t.Errorf("%+v comes back as %+v, %v", s, again, err)
		}
	})
}
