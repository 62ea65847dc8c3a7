package show

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// A Column is one of a table.
type Column struct {
	Title string
	Right bool // aligned right, as figures are
	Rank  int  // 0: always shown; else the highest is left out first where it is narrow
	Min   int  // columns that it takes where there is room; less than its cells do: as they do
	Least int  // columns that it may be shortened to; zero: it is not shortened
	Style func(row int) ansi.Style
}

// gap is what stands between two columns.
const gap = "  "

// A Table is aligned by what its cells look like on a terminal. Cells must be
// Clean, and bear no style.
type Table struct {
	Columns []Column
	Rows    [][]string

	shown  []int // columns, by index
	widths []int // of all columns
}

// Add adds a row, made Clean.
func (t *Table) Add(cells ...string) {
	for i, c := range cells {
		cells[i] = Clean(c)
	}
	t.Rows = append(t.Rows, cells)
}

// Width is that of a column in the layout; zero: it is left out.
func (t *Table) Width(title string) int {
	if i := t.column(title); slices.Contains(t.shown, i) {
		return t.widths[i]
	}
	return 0
}

// Set sets a cell after the layout, where its width counts.
func (t *Table) Set(row int, title, cell string) { t.Rows[row][t.column(title)] = cell }

func (t *Table) column(title string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Title == title })
}

// Layout chooses which columns to show and how wide, so that no row is wider
// than width; zero is no end. It fails where even the indispensable are too wide.
func (t *Table) Layout(width int) (fits bool) {
	t.shown, t.widths = nil, make([]int, len(t.Columns))
	for i, c := range t.Columns {
		t.shown = append(t.shown, i)
		t.widths[i] = max(c.Min, ansi.StringWidth(c.Title))
		for _, row := range t.Rows {
			t.widths[i] = max(t.widths[i], ansi.StringWidth(row[i]))
		}
	}
	for width > 0 && t.least() > width {
		if !t.drop() {
			return false
		}
	}
	if width > 0 {
		t.shorten(t.total() - width)
	}
	return true
}

// drop leaves out the shown column of the highest rank.
func (t *Table) drop() bool {
	worst := slices.MaxFunc(t.shown, func(a, b int) int { return t.Columns[a].Rank - t.Columns[b].Rank })
	if t.Columns[worst].Rank == 0 {
		return false
	}
	t.shown = slices.DeleteFunc(t.shown, func(i int) bool { return i == worst })
	return true
}

// shorten takes what is too much from the columns that can give, the last first.
func (t *Table) shorten(excess int) {
	for _, i := range slices.Backward(t.shown) {
		if least := t.Columns[i].Least; least > 0 && excess > 0 {
			give := min(excess, max(0, t.widths[i]-least))
			t.widths[i] -= give
			excess -= give
		}
	}
}

// total is the width of a row, and least what it can be shortened to.
func (t *Table) total() int { return t.sum(func(i int) int { return t.widths[i] }) }

func (t *Table) least() int {
	return t.sum(func(i int) int {
		if least := t.Columns[i].Least; least > 0 {
			return min(least, t.widths[i])
		}
		return t.widths[i]
	})
}

func (t *Table) sum(of func(int) int) int {
	n := len(gap) * (len(t.shown) - 1)
	for _, i := range t.shown {
		n += of(i)
	}
	return n
}

// Header is the line of titles.
func (t *Table) Header(s Screen) string {
	titles := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		titles[i] = c.Title
	}
	return t.line(s, titles, func(Column) ansi.Style { return Dim })
}

// Row is the line of a row.
func (t *Table) Row(s Screen, n int) string {
	return t.line(s, t.Rows[n], func(c Column) ansi.Style {
		if c.Style == nil {
			return nil
		}
		return c.Style(n)
	})
}

// line aligns and paints cells. Nothing trails.
func (t *Table) line(s Screen, cells []string, style func(Column) ansi.Style) string {
	var b strings.Builder
	pending := ""
	for n, i := range t.shown {
		if n > 0 {
			pending += gap
		}
		text := s.Fit(cells[i], t.widths[i])
		space := strings.Repeat(" ", max(0, t.widths[i]-ansi.StringWidth(text)))
		if t.Columns[i].Right {
			pending += space
			space = ""
		}
		if text != "" {
			b.WriteString(pending)
			b.WriteString(s.Paint(style(t.Columns[i]), text))
			pending = ""
		}
		pending += space
	}
	return b.String()
}
