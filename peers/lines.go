package peers

import (
	"strconv"
	"strings"
)

// maxDepth is how deep arrays and tables may nest. The peers file needs three;
// what parses it recurses.
const maxDepth = 32

// lines says where in a TOML text each value stands: it maps paths made by
// under to line numbers, which the TOML package keeps to itself.
type lines map[string]int

// under returns the path of a key in the table at path, or of an array's
// element under its index in decimal. The path of the top level is empty.
func under(path, key string) string { return path + "\x00" + key }

// of returns the line of a path, or of the nearest thing around it; 1 at worst.
func (l lines) of(path string) int {
	for path != "" {
		if n, ok := l[path]; ok {
			return n
		}
		path = path[:strings.LastIndexByte(path, 0)]
	}
	return 1
}

// A scanner reads the structure of a TOML text and none of its values. It takes
// anything: where a text makes no sense it stops, as a parser would.
type scanner struct {
	text   string
	pos    int
	lines  lines          // nil: they are not of interest, nor are paths
	counts map[string]int // elements so far, by path of an array of tables
	marked int            // position up to which newlines are counted
	line   int            // at marked
	deep   int            // line of what nests deeper than maxDepth; 0: nothing
	spans  []span         // the top level's, then one for each header
}

// A span is where the text of a table stands: from its header, or for the top
// level the beginning, to the end of the last value in it.
type span struct {
	path       string // of the table; an array's element has its index
	start, end int    // in bytes
}

// tooDeep returns the line where a text nests too deeply to be parsed, or 0.
func tooDeep(text string) int {
	s := &scanner{text: text, line: 1, spans: []span{{}}}
	s.scan()
	return s.deep
}

// scan reads all of a text.
func scan(text string) *scanner {
	s := &scanner{text: text, lines: lines{}, counts: map[string]int{}, line: 1, spans: []span{{}}}
	s.scan()
	return s
}

func (s *scanner) scan() {
	for s.space("\n"); s.pos < len(s.text); s.space("\n") {
		if start := s.pos; s.eat("[") {
			s.spans = append(s.spans, span{path: s.header(), start: start})
		} else {
			s.assignment(s.spans[len(s.spans)-1].path, 0)
		}
		s.spans[len(s.spans)-1].end = s.pos
	}
}

// header reads the rest of [a.b] or [[a.b]], and returns its table's path.
func (s *scanner) header() (path string) {
	array := s.eat("[")
	keys := s.key()
	for i, key := range keys {
		path = s.record(path, key)
		if s.lines == nil {
			continue
		}
		if array && i == len(keys)-1 {
			s.counts[path]++
		}
		if n := s.counts[path]; n > 0 {
			path = s.record(path, strconv.Itoa(n-1))
		}
	}
	if !s.eat("]") || array && !s.eat("]") {
		s.stop()
	}
	return path
}

// assignment reads a.b = value in the table at path.
func (s *scanner) assignment(path string, depth int) {
	for _, key := range s.key() {
		path = s.record(path, key)
	}
	if !s.eat("=") {
		s.stop()
	}
	s.space("")
	s.value(path, depth)
}

// value reads any value, which stands at path.
func (s *scanner) value(path string, depth int) {
	switch {
	case depth > maxDepth:
		s.tooDeep()
	case s.eat("["):
		s.array(path, depth+1)
	case s.eat("{"):
		s.inline(path, depth+1)
	case s.at(`"`), s.at(`'`):
		s.quoted()
	default:
		s.until(",]}#\n")
	}
}

func (s *scanner) array(path string, depth int) {
	for i := 0; ; i++ {
		if s.space("\n"); s.eat("]") || s.pos == len(s.text) {
			return
		}
		s.value(s.record(path, strconv.Itoa(i)), depth)
		if s.space("\n"); !s.eat(",") && !s.at("]") {
			s.stop()
		}
	}
}

func (s *scanner) inline(path string, depth int) {
	for {
		if s.space("\n"); s.eat("}") || s.pos == len(s.text) {
			return
		}
		s.assignment(path, depth)
		if s.space("\n"); !s.eat(",") && !s.at("}") {
			s.stop()
		}
	}
}

// key reads a dotted key, bare and quoted parts alike.
func (s *scanner) key() (parts []string) {
	for {
		s.space("")
		if s.at(`"`) || s.at(`'`) {
			parts = append(parts, s.quoted())
		} else {
			parts = append(parts, s.until(" \t\r\n.=[]{},#\"'"))
		}
		if s.space(""); !s.eat(".") {
			return parts
		}
		if len(parts) > maxDepth {
			s.tooDeep()
		}
	}
}

// quoted reads a string of any of the four kinds, and returns its value if
// that has no escapes beyond Go's.
func (s *scanner) quoted() string {
	quote := s.text[s.pos : s.pos+1]
	if triple := strings.Repeat(quote, 3); s.at(triple) {
		quote = triple
	}
	start := s.pos + len(quote)
	for s.pos = start; s.pos < len(s.text) && !s.at(quote); s.pos++ {
		if quote[0] == '"' && s.at(`\`) {
			s.pos++
		}
	}
	s.pos = min(s.pos, len(s.text))
	inner := s.text[start:s.pos]
	s.eat(quote)
	for range len(quote) - 1 { // """two more may follow"""""
		s.eat(quote[:1])
	}
	if text, err := strconv.Unquote(`"` + inner + `"`); err == nil && quote == `"` {
		return text
	}
	return inner
}

// space skips blanks; newlines and comments too, if newline is "\n".
func (s *scanner) space(newline string) {
	for s.pos < len(s.text) && strings.IndexByte(" \t\r"+newline, s.text[s.pos]) >= 0 || newline != "" && s.at("#") {
		if s.at("#") {
			s.until("\n")
		} else {
			s.pos++
		}
	}
}

// until reads up to one of the stop bytes or the end.
func (s *scanner) until(stops string) string {
	n := strings.IndexAny(s.text[s.pos:], stops)
	if n < 0 {
		n = len(s.text) - s.pos
	}
	s.pos += n
	return s.text[s.pos-n : s.pos]
}

func (s *scanner) at(prefix string) bool { return strings.HasPrefix(s.text[s.pos:], prefix) }

func (s *scanner) eat(prefix string) bool {
	if !s.at(prefix) {
		return false
	}
	s.pos += len(prefix)
	return true
}

func (s *scanner) tooDeep() {
	s.deep = s.lineHere()
	s.stop()
}

func (s *scanner) stop() { s.pos = len(s.text) }

// record notes that a key begins here, unless it began before, and returns its
// path.
func (s *scanner) record(table, key string) (path string) {
	if s.lines == nil {
		return ""
	}
	path = under(table, key)
	if _, ok := s.lines[path]; !ok {
		s.lines[path] = s.lineHere()
	}
	return path
}

func (s *scanner) lineHere() int {
	s.line += strings.Count(s.text[s.marked:s.pos], "\n")
	s.marked = s.pos
	return s.line
}
