package peers

import (
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

func TestScanLines(t *testing.T) {
	const in = `# "[not]" = a key
a = 1 # a comment with ' and """
"b c".'d"e' = 'it\'
[host] # [x]
  name = """
[[peer]]
name = "x" \""" # still the name
"""""
dotted . key = { x = 1, y = [ { z = "}" }, ] }
ports = [ # ]
  25, # , 26
  '''
]''', 1979-05-27 07:32:00,

  [ [],
    2 ] ]
[[peer]]
name = "x"
[peer.sub]
k = 1
[[ peer ]]
name = "y"
[[peer.deep]]
k = 1
[[peer.deep]]
k = 2`
	want := lines{
		"a": 2, "b c": 3, `b c/d"e`: 3,
		"host": 4, "host/name": 5,
		"host/dotted": 9, "host/dotted/key": 9, "host/dotted/key/x": 9,
		"host/dotted/key/y": 9, "host/dotted/key/y/0": 9, "host/dotted/key/y/0/z": 9,
		"host/ports": 10, "host/ports/0": 11, "host/ports/1": 12, "host/ports/2": 13,
		"host/ports/3": 15, "host/ports/3/0": 15, "host/ports/3/1": 16,
		"peer": 17, "peer/0": 17, "peer/0/name": 18, "peer/0/sub": 19, "peer/0/sub/k": 20,
		"peer/1": 21, "peer/1/name": 22,
		"peer/1/deep": 23, "peer/1/deep/0": 23, "peer/1/deep/0/k": 24, "peer/1/deep/1": 25, "peer/1/deep/1/k": 26,
	}
	var root map[string]any
	if err := toml.Unmarshal([]byte(in), &root); err != nil {
		t.Fatal(err)
	}
	scanned := scan(in)
	got, deep := scanned.lines, scanned.deep
	if d := cmp.Diff(want, readable(got)); d != "" || deep != 0 {
		t.Errorf("deep %d (-want +got):\n%s", deep, d)
	}
	if n := got.of(under(under(under("", "host"), "dotted"), "none")); n != 9 {
		t.Errorf("a key that is not there is in line %d, want that of its table, 9", n)
	}
}

// readable returns l with slashes in its paths.
func readable(l lines) lines {
	r := lines{}
	for path, n := range l {
		r[strings.ReplaceAll(path, "\x00", "/")[1:]] = n
	}
	return r
}

// paths returns the path of every value that the TOML package finds.
func paths(path string, v any, all map[string]bool) {
	if path != "" {
		all[path] = true
	}
	if values, ok := v.(map[string]any); ok {
		for key, value := range values {
			paths(under(path, key), value, all)
		}
	}
	list, _ := elements(v)
	for i, value := range list {
		paths(under(path, strconv.Itoa(i)), value, all)
	}
}

// FuzzScanLines compares with the TOML package: both find the same values, and
// a text that is cut before the line of a value lacks it.
func FuzzScanLines(f *testing.F) {
	for _, s := range []string{
		"a = 1\n[b]\nc = [1,\n2]\n", "[[a]]\nb = 1\n[[a]]\nb.c = {d = 1}\n[a.e]\n", "a = '''\nb = 1'''\nc = \"\"\"\n\\\"\"\"\"\"\"\n",
		"\"a.b\" = 1\n'c' . d = 2\n", "a = [{b = 1}, # x\n{b = 2}]\n", "[a.b]\n[a]\nc = 1\r\n", "a = {b = 1,\n c = [[], [[1]]]}", Reference, uncommented(),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scanned := scan(withoutBOM(text)) // must end, whatever the text
		got, deep := scanned.lines, scanned.deep
		var root map[string]any
		if deep > 0 || strings.Contains(text, `\`) || toml.Unmarshal([]byte(text), &root) != nil {
			return // escapes in keys may differ: their lines are the tables'
		}
		all := map[string]bool{}
		paths("", root, all)
		for path := range all {
			if _, ok := got[path]; !ok {
				t.Fatalf("%q is not found in %q", path, text)
			}
		}
		for path, line := range got {
			if !all[path] {
				t.Fatalf("%q is found, but not in %q", path, text)
			}
			checkCut(t, withoutBOM(text), path, line)
		}
	})
}

// checkCut fails if the lines before line have a value at path.
func checkCut(t *testing.T, text, path string, line int) {
	t.Helper()
	before := strings.Join(strings.SplitAfter(text, "\n")[:line-1], "")
	var root map[string]any
	if toml.Unmarshal([]byte(before), &root) != nil {
		return // cut within a value
	}
	all := map[string]bool{}
	paths("", root, all)
	if all[path] {
		t.Fatalf("%q is before line %d of %q", path, line, text)
	}
}
