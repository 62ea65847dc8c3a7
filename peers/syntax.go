package peers

import (
	"errors"
	"regexp"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
)

// parse returns the tables of a TOML text. If ok is false it has none, and that
// is the only problem.
func (d *decoder) parse(data []byte) (root map[string]any, ok bool) {
	if len(data) > MaxFileSize {
		d.problem(1, "", "", "the file is too large: at most %d bytes are read", MaxFileSize)
		return nil, false
	}
	text := withoutBOM(string(data))
	d.lines = sync.OnceValue(func() lines { return scan(text).lines })
	if d.env.Blocks != nil && len(text) >= manyBytes {
		if root, ok = d.env.Blocks.parse(text); ok {
			return root, true
		}
	}
	if deep := tooDeep(text); deep > 0 {
		d.problem(deep, "", "", "arrays or tables nest too deeply: at most %d levels are read", maxDepth)
		return nil, false
	}
	var syntax toml.ParseError
	switch err := toml.Unmarshal(data, &root); {
	case errors.As(err, &syntax):
		last := 1 + strings.Count(string(data), "\n")
		d.problem(min(max(syntax.Position.Line, 1), last), "", "", "not TOML: %s", unquoted(syntax.Message))
	case err != nil:
		d.problem(1, "", "", "not TOML")
	}
	return root, len(d.problems) == 0
}

// withoutBOM leaves out what the TOML package does.
func withoutBOM(s string) string {
	for _, bom := range []string{"\xff\xfe", "\xfe\xff", "\xef\xbb\xbf"} {
		if rest, ok := strings.CutPrefix(s, bom); ok {
			return rest
		}
	}
	return s
}

// harmless matches what the TOML package's messages may quote: one character,
// a run of quotes, or the name of a key or table of ours.
var harmless = regexp.MustCompile(`^(?:'\\?[ -~]'|"['"]+"|'"+'|'\\[nrtux]'|'0x[0-9a-f]{2}'|'((?:[a-z]+\.)?[a-z_]+)')`)

// unquoted returns a message of the TOML package, cut before anything that it
// quotes from the file, or numbers that it repeats: they may be part of a key.
func unquoted(message string) string {
	if strings.Contains(message, "is out of range for ") || strings.Contains(message, "is out of the safe ") {
		return "a number is out of range"
	}
	kept := ""
	for {
		i := strings.IndexAny(message, `'"`)
		if i < 0 {
			return kept + message
		}
		kept, message = kept+message[:i], message[i:]
		m := harmless.FindStringSubmatch(message)
		if m == nil || m[1] != "" && !isKnown(m[1]) {
			return kept + notShown
		}
		kept, message = kept+m[0], message[len(m[0]):]
	}
}

// isKnown says whether a dotted key of the syntax host.mtu is one of ours.
func isKnown(key string) bool {
	table, key, ok := strings.Cut(key, ".")
	switch {
	case !ok:
		return rootKeys.has(table) || hostKeys.has(table) || peerKeys.has(table)
	case table == "host":
		return hostKeys.has(key)
	}
	return table == "peer" && peerKeys.has(key)
}
