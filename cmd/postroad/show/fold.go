package show

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Fold breaks words into lines that are at most width wide; those after the first
// are indented. Zero: one line, whole.
func Fold(words string, width, indent int) string {
	if width <= 0 || ansi.StringWidth(words) <= width {
		return words
	}
	if strings.TrimSpace(words) == "" {
		return ""
	}
	start := words[:len(words)-len(strings.TrimLeft(words, " "))]
	items := strings.Fields(words)
	items[0] = start + items[0]
	return pack(width, indent, " ", items...)
}

// pack puts as many items on a line as there is room for, with between between
// them. None is broken but one that is wider than a line.
func pack(width, indent int, between string, items ...string) string {
	if width <= 0 {
		return strings.Join(items, between)
	}
	indent = min(indent, width/2)
	var lines []string
	for n, item := range items {
		if n < len(items)-1 {
			item += between
		}
		if last := len(lines) - 1; last >= 0 && ansi.StringWidth(strings.TrimRight(lines[last]+item, " ")) <= width {
			lines[last] += item
		} else {
			lines = append(lines, broken(item, width, indent, n > 0)...)
		}
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// broken is one item on lines of its own, the first of them indented or not.
func broken(item string, width, indent int, indentFirst bool) []string {
	text := strings.TrimRight(item, " ")
	margin := strings.Repeat(" ", indent)
	lines := []string{text}
	if room := width - indent; ansi.StringWidth(text) > room && (indentFirst || ansi.StringWidth(text) > width) {
		lines = strings.Split(ansi.Hardwrap(text, room, true), "\n")
	}
	for i := range lines {
		if i > 0 || indentFirst {
			lines[i] = margin + lines[i]
		}
	}
	lines[len(lines)-1] += item[len(text):]
	return lines
}
