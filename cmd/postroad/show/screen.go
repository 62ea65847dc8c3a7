package show

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"postroad/tunnel"
)

// A Screen is what words are shown on. The zero value is a pipe or a file, where
// everything is whole and plain.
type Screen struct {
	Width  int  // columns; zero: no end
	Height int  // lines; zero: no end
	Colour bool // colours and other attributes may be used
	ASCII  bool // it is not said that it knows more than ASCII
}

// Terminal says whether w is one.
func Terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ScreenOf looks at what w leads to. The mode is auto, always or never: colours,
// by default, are for terminals, and for who has not set NO_COLOR
// (no-color.org).
func ScreenOf(w io.Writer, mode string, env func(string) string) (s Screen, err error) {
	terminal := Terminal(w)
	switch mode {
	case "always":
		s.Colour = true
	case "auto":
		s.Colour = terminal && env("NO_COLOR") == "" && env("TERM") != "dumb"
	case "never":
	default:
		return s, fmt.Errorf("--color %s: give auto, always or never", mode)
	}
	if !terminal {
		return s, nil
	}
	s.ASCII = !knowsUTF8(env)
	if s.Width, s.Height, err = term.GetSize(int(w.(*os.File).Fd())); err != nil || s.Width == 0 {
		s.Width, s.Height = 80, 24
	}
	return s, nil
}

// knowsUTF8 reads the locale, see locale(7). None says nothing against it.
func knowsUTF8(env func(string) string) bool {
	locale := strings.ToUpper(cmp.Or(env("LC_ALL"), env("LC_CTYPE"), env("LANG")))
	return locale == "" || strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
}

// Paint writes text in a style, line by line, where the screen has such. The nil
// style is plain.
func (s Screen) Paint(style ansi.Style, text string) string {
	if !s.Colour || text == "" || style == nil {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = style.Styled(line)
	}
	return strings.Join(lines, "\n")
}

// Fit shortens text to a width in columns; what is cut off is shown to be.
func (s Screen) Fit(text string, width int) string {
	tail := "…"
	if s.ASCII {
		tail = "~"
	}
	return ansi.Truncate(text, max(width, 1), tail)
}

// Styles, in the terminal's own sixteen colours, so that its theme counts.
var (
	Bold   = ansi.NewStyle(ansi.AttrBold)
	Dim    = ansi.NewStyle(ansi.AttrFaint)
	Good   = ansi.NewStyle(ansi.AttrGreenForegroundColor)
	Quiet  = ansi.NewStyle(ansi.AttrCyanForegroundColor)
	Warn   = ansi.NewStyle(ansi.AttrYellowForegroundColor)
	Bad    = ansi.NewStyle(ansi.AttrBold, ansi.AttrRedForegroundColor)
	Danger = ansi.NewStyle(ansi.AttrBold, ansi.AttrWhiteForegroundColor, ansi.AttrRedBackgroundColor)
)

// StateStyle is that of a peer's state.
func StateStyle(p tunnel.PeerStatus) ansi.Style {
	switch p.State {
	case tunnel.Protected:
		return Good
	case tunnel.Idle:
		return Quiet
	case tunnel.Waiting:
		return Warn
	case tunnel.Blocked:
		return Bad
	}
	if p.ByPolicy {
		return Warn
	}
	return Danger // clear, and whatever this program does not know
}

// Sentence paints the summary of a status.
func (s Screen) Sentence(status *tunnel.Status, words string) string {
	switch {
	case !status.Closed():
		return s.Paint(Danger, words)
	case !status.Well(), status.OpenDomains("") != "":
		return s.Paint(Warn, words)
	case len(status.Peers) == 0:
		return words
	}
	return s.Paint(Good, words)
}
