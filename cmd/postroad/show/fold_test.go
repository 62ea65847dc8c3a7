package show

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

func TestFold(t *testing.T) {
	for _, test := range []struct {
		words string
		width int
		want  string
	}{
		{"", 10, ""},
		{"one two three", 0, "one two three"},
		{"one two three", 13, "one two three"},
		{"one two three", 12, "one two\n  three"},
		{"  one two", 7, "  one\n  two"},
		{"mx.a-b.example waits", 15, "mx.a-b.example\n  waits"},
		{"abcdefghij k", 6, "abcd\n  efgh\n  ij k"},
	} {
		if got := Fold(test.words, test.width, 2); got != test.want {
			t.Errorf("Fold(%q, %d): %q, want %q", test.words, test.width, got, test.want)
		}
	}
}

// Whatever there is to say, no line is too wide, and nothing is lost.
func FuzzFold(f *testing.F) {
	f.Add("one two three", 8, 2)
	f.Add("日本語 mail.example", 5, 2)
	f.Fuzz(func(t *testing.T, words string, width, indent int) {
		words = Clean(words)
		width, indent = 2+max(0, width%100), max(0, indent%10)
		got := pack(width, indent, ", ", strings.Fields(words)...) + "\n" + Fold(words, width, indent)
		for line := range strings.Lines(got) {
			if n := ansi.StringWidth(strings.TrimSuffix(line, "\n")); n > width && width > 4 {
				t.Errorf("%d columns, not %d: %q", n, width, line)
			}
		}
		bare := func(s string) string {
			return strings.Map(func(r rune) rune { return map[bool]rune{true: -1, false: r}[strings.ContainsRune(" ,\n", r)] }, s)
		}
		if bare(got) != bare(words+words) {
			t.Errorf("%q became %q", words, got)
		}
	})
}
