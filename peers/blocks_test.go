package peers

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// checkBlocks fails the test if a text says something else taken to pieces, and
// returns whether it was.
func checkBlocks(t *testing.T, b *Blocks, text string) bool {
	t.Helper()
	got, ok := b.parse(text)
	if !ok {
		return false
	}
	var want map[string]any
	if err := toml.Unmarshal([]byte(text), &want); err != nil {
		t.Fatalf("pieces are taken where all is wrong: %v\n%q", err, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("pieces of %q say something else:\n%s", text, diff)
	}
	return true
}

// A text is taken to pieces only where these say the same as all of it.
func TestBlocks(t *testing.T) {
	for text, taken := range map[string]bool{
		"":           false,
		"[host]\n":   false,
		"[[peer]]\n": true,
		"\n[[peer]]": true,
		"[[peer]]\r\nname = 'a'\r\n[[peer]] # b\r\nname = 'b'\r\n": true,
		"[host]\nmtu = 1\n[[peer]]\nname = 'a'\n[peer.x]\ny = 1\n": true,
		"[host]\n\t[[peer]]\n[[peer]]\n":                           false, // the first has one already
		"x = '''\n[[peer]]\n'''\n":                                 false,
		"[[peer]]\nx = \"\"\"\n[[peer]]\n\"\"\"\n":                 false,
		"[[peer]]\nx = [\n[[peer]]\n]\n":                           false,
		"[[peer]]\nname = 'a'\n[host]\n[[peer]]\n":                 false, // may be given twice
		"peer = 1\n[[peer]]\n":                                     false,
		"[[peer]]\n[[peer]]]\n":                                    false,
		"[[peer]]\n[[peer]].x\n":                                   false,
		"[[peer]]\nname = 'a'\nname = 'b'\n":                       false,
		"[[peer]]\nx = " + strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2) + "\n": false,
	} {
		b := &Blocks{}
		for range 2 { // parsed, and remembered
			if got := checkBlocks(t, b, text); got != taken {
				t.Errorf("%q is taken to pieces: %v", text, got)
			}
		}
	}
}

// FuzzBlocks: whatever two versions of a file are, pieces say the same as the whole.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte("[host]\nmtu = 1\n[[peer]]\nname = 'a'\n"), []byte("[[peer]]\nname = 'a'\n[[peer]]\nx = 1"))
	f.Add([]byte("[[peer]]\nx = '''\n[[peer]]\n'''"), []byte("[[peer]]\n[peer.x]\n[[peer]]\ny = [{z = 1}]"))
	f.Add([]byte("[[peer]]\nx = [\n[[peer]]\n]"), []byte("\xef\xbb\xbf[[peer]]\n\"a\\u0062\" = 1979-05-27"))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		b := &Blocks{}
		for _, text := range [][]byte{before, after, before} {
			if !bytes.ContainsAny(text, "\x00") {
				checkBlocks(t, b, withoutBOM(string(text)))
			}
		}
	})
}

// A file that has changed is decoded as if it had never been seen before, whatever
// changed in it; what has not changed is not parsed again.
func TestDecodeAgain(t *testing.T) {
	env := manyEnv()
	env.Blocks = &Blocks{}
	text := string(manyText(1000))
	for change, version := range map[string]string{
		"nothing":       text,
		"a name":        strings.Replace(text, "mx500.many", "mx500b.many", 1),
		"the host":      strings.Replace(text, "mx.many.example", "other.many.example", 1),
		"one less":      text[:strings.LastIndex(text, blockHeader)],
		"a key twice":   text + text[strings.LastIndex(text, blockHeader):],
		"no TOML":       strings.Replace(text, "public_key", "public key", 1),
		"unknown":       text + "more = 1\n",
		"another table": text + "[host]\n",
	} {
		if _, err := Decode("peers.toml", []byte(text), env); err != nil {
			t.Fatal(err)
		}
		got, gotErr := Decode("peers.toml", []byte(version), env)
		want, wantErr := Decode("peers.toml", []byte(version), manyEnv())
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: another configuration", change)
		}
		if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
			t.Errorf("%s: %v, want %v", change, gotErr, wantErr)
		}
	}
	first := env.Blocks.seen
	if _, err := Decode("peers.toml", []byte(text+"\n[[peer]]\n"), env); err == nil {
		t.Error("a peer without a key is taken")
	}
	for block, values := range first {
		if now := env.Blocks.seen[block]; now == nil {
			t.Fatal("a block is forgotten")
		} else if values["name"] = "the same"; now["name"] != "the same" {
			t.Fatal("a block was parsed again")
		}
		break
	}
}

func BenchmarkDecode10000Again(b *testing.B) {
	text, env := manyText(10000), manyEnv()
	env.Blocks = &Blocks{}
	for b.Loop() {
		if c, err := Decode("many.toml", text, env); err != nil || len(c.Peers) != 10000 {
			b.Fatal(err)
		}
	}
}
