package peers

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong in a peers file.
type Problem struct {
	File  string // as given to Decode
	Line  int    // from 1
	Where string // `host`, `peer "name"`, `peer 2` where it has no name; empty at the top level
	Key   string // the key; empty where the problem is not one key's
	Text  string // what is wrong, and what would be right; quotes no secret
}

// Error returns the problem as "file:line: where: key: text".
func (p Problem) Error() string {
	s := fmt.Sprintf("%s:%d: ", p.File, p.Line)
	for _, part := range []string{p.Where, p.Key} {
		if part != "" {
			s += part + ": "
		}
	}
	return s + p.Text
}

// Problems returns the problems of an error of Decode or Load, in the order of
// the file's lines. It is empty for errors of other kinds, such as a file that
// cannot be read.
func Problems(err error) []Problem {
	var p Problem
	var many interface{ Unwrap() []error }
	switch {
	case errors.As(err, &many):
		var all []Problem
		for _, e := range many.Unwrap() {
			all = append(all, Problems(e)...)
		}
		return all
	case errors.As(err, &p):
		return []Problem{p}
	}
	return nil
}

// join returns the problems as one error, in line order; nil if there are none.
func join(problems []Problem) error {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// The limits of what is quoted of a file: longer texts are cut, and longer runs
// of base64 or hexadecimal digits are taken for keys.
const (
	maxQuoted  = 80 // bytes
	maxDigits  = 24 // bytes; a key has 43 and 64, and should stay unknown if it is a bit damaged
	notShown   = "(not shown)"
	alnum      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	base64Text = alnum + "+/="
)

// quote returns a text from the file as an error may show it: escaped, cut, and
// not at all if it may hold a key.
func quote(s string) string {
	switch {
	case holdsKey(s):
		return notShown
	case len(s) > maxQuoted:
		return fmt.Sprintf("%q...", strings.ToValidUTF8(s[:maxQuoted], ""))
	}
	return fmt.Sprintf("%q", s)
}

// quotePath is quote for paths: slashes divide what may be a key, and as names
// of directories can be long, only what is as long as one is taken for it.
func quotePath(path string) string {
	relative := !filepath.IsAbs(path) && holdsKey(path)
	if relative || isKey(path) || slices.ContainsFunc(strings.Split(path, "/"), isKey) {
		return notShown
	}
	return fmt.Sprintf("%q", path)
}

// isKey says whether s is the text of a key, whole or without its last "=".
func isKey(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) >= 43 && len(s) <= 44 && longestRun(s) >= 43
}

// holdsKey says whether part of s may be a key.
func holdsKey(s string) bool { return longestRun(s) > maxDigits }

// longestRun returns how many characters of base64 stand together in s at most.
func longestRun(s string) (longest int) {
	run := 0
	for i := range len(s) {
		run++
		if strings.IndexByte(base64Text, s[i]) < 0 {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}
