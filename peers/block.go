package peers

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// maxLine is how long a line of a block gets before an array is spread over
// several, in bytes: mail programs break longer ones.
const maxLine = 70

// String returns the endpoint as the peers file has it; empty: the file names none.
func (e Endpoint) String() string {
	if e == (Endpoint{}) {
		return ""
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// Mail returns the peer's addresses, and the names for the rest of them.
func (p Peer) Mail() []string { return append(texts(p.Addresses), p.Names...) }

// Block returns the [[peer]] of a peers file that says p, but for what is for
// each host to decide and for secrets, which the file does not hold.
func (p Peer) Block() string {
	var b strings.Builder
	b.WriteString("[[peer]]\n")
	set := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %q\n", key, value)
		}
	}
	set("name", p.Name)
	set("public_key", p.PublicKey.String())
	set("endpoint", p.Endpoint.String())
	b.WriteString(array("addresses", p.Mail()))
	if p.Keepalive > 0 {
		set("keepalive", fmt.Sprintf("%ds", int(p.Keepalive.Seconds())))
	}
	b.WriteString(array("domains", p.Domains))
	return b.String()
}

// array returns the lines of a key with an array of strings, of which none
// needs escapes; none: no line.
func array(key string, items []string) string {
	line := fmt.Sprintf("%s = [\"%s\"]\n", key, strings.Join(items, `", "`))
	switch {
	case len(items) == 0:
		return ""
	case len(line) <= maxLine:
		return line
	}
	return fmt.Sprintf("%s = [\n  \"%s\",\n]\n", key, strings.Join(items, "\",\n  \""))
}

func texts[T fmt.Stringer](items []T) (all []string) {
	for _, i := range items {
		all = append(all, i.String())
	}
	return all
}

// appendBlock puts a block at the end of a peers file's text, after an empty
// line, with the line ends that the text has. It returns the new text and the
// number of the block's first line.
func appendBlock(data []byte, block string) (edited []byte, line int) {
	eol := "\n"
	if crlf := bytes.Count(data, []byte("\r\n")); crlf > 0 && 2*crlf >= bytes.Count(data, []byte("\n")) {
		eol = "\r\n"
	}
	before := ""
	if n := len(data); n > 0 && data[n-1] != '\n' {
		before = eol
	}
	if len(withoutBOM(string(data))) > 0 {
		before += eol
	}
	edited = append(bytes.Clone(data), before...)
	line = 1 + bytes.Count(edited, []byte("\n"))
	return append(edited, strings.ReplaceAll(block, "\n", eol)...), line
}

// cutBlock takes the i-th [[peer]], from 0, out of a peers file's text, with the
// comments that stand directly above it and directly below its last value, and
// one empty line that set it apart. It returns the new text, and what went, with
// its first line's number. If ok is false, the text has no such block.
func cutBlock(data []byte, i int) (edited []byte, gone string, line int, ok bool) {
	text := withoutBOM(string(data))
	bom := len(data) - len(text)
	spans := scan(text).spans
	for n, s := range spans {
		if s.path == under(under("", "peer"), strconv.Itoa(i)) {
			start, end := headStart(text, spans[n-1].end, s.start), tailEnd(text, s.end)
			gone, line = text[start:end], 1+strings.Count(text[:start], "\n")
			start, end = withEmptyLine(text, start, end)
			return append(bytes.Clone(data[:bom+start]), text[end:]...), gone, line, true
		}
	}
	return nil, "", 0, false
}

// headStart returns where the comment lines above a header begin that stands at
// pos. What ends at floor is another's.
func headStart(text string, floor, pos int) int {
	start := lineStart(text, pos)
	for start > 0 {
		above := lineStart(text, start-1)
		if above < floor || !isComment(text[above:start]) {
			break
		}
		start = above
	}
	return start
}

// tailEnd returns where the comment lines end below the value that ends at pos,
// unless the next header follows on them: then they are its own.
func tailEnd(text string, pos int) int {
	first := lineEnd(text, pos)
	end := first
	for end < len(text) && isComment(text[end:lineEnd(text, end)]) {
		end = lineEnd(text, end)
	}
	if strings.HasPrefix(strings.TrimLeft(text[end:lineEnd(text, end)], " \t"), "[") {
		return first
	}
	return end
}

// withEmptyLine makes the cut take one empty line: the one above where it is
// the file's end, else the one below, if there is one above too or nothing.
func withEmptyLine(text string, start, end int) (int, int) {
	above := lineStart(text, max(start-1, 0))
	emptyAbove := start == 0 || isEmpty(text[above:start])
	switch {
	case end == len(text) && emptyAbove:
		return above, end
	case end < len(text) && emptyAbove && isEmpty(text[end:lineEnd(text, end)]):
		return start, lineEnd(text, end)
	}
	return start, end
}

// lineStart returns where the line begins that pos is in.
func lineStart(text string, pos int) int { return 1 + strings.LastIndexByte(text[:pos], '\n') }

// lineEnd returns where the line that pos is in ends, its line end included.
func lineEnd(text string, pos int) int {
	if n := strings.IndexByte(text[pos:], '\n'); n >= 0 {
		return pos + n + 1
	}
	return len(text)
}

func isComment(line string) bool { return strings.HasPrefix(strings.TrimLeft(line, " \t"), "#") }
func isEmpty(line string) bool   { return strings.TrimSpace(line) == "" }
