package main

import (
	"fmt"
	"regexp"
	"strings"
)

// A page is a manual page in the making, in the macros of man(7).
type page struct {
	strings.Builder
	begun bool // a heading is the last that was written: no paragraph needs to be set apart
}

// newPage begins a page. Date is empty or of the form 2006-01-02.
func newPage(name string, section int, date, source string) *page {
	p := &page{}
	fmt.Fprintf(p, ".TH %s %d \"%s\" \"%s\" postroad\n", escape(strings.ToUpper(name)), section, date, escape(source))
	fmt.Fprintln(p, ".nh") // hyphens within names would be copied
	return p
}

func (p *page) section(title string)    { p.heading("SH", title) }
func (p *page) subsection(title string) { p.heading("SS", title) }

func (p *page) heading(macro, title string) {
	fmt.Fprintf(p, ".%s %s\n", macro, escape(title))
	p.begun = true
}

// apart sets what follows apart from what is there.
func (p *page) apart() {
	if !p.begun {
		fmt.Fprintln(p, ".PP")
	}
	p.begun = false
}

func (p *page) paragraph(words string) {
	p.apart()
	fmt.Fprintln(p, prose(words))
}

// item is a term and what it means.
func (p *page) item(term, words string) {
	fmt.Fprintf(p, ".TP\n\\fB%s\\fR\n%s\n", escape(term), prose(words))
	p.begun = false
}

// example keeps its lines as they are.
func (p *page) example(lines string) {
	p.apart()
	fmt.Fprintln(p, ".EX")
	for line := range strings.SplitSeq(strings.TrimRight(lines, "\n"), "\n") {
		fmt.Fprintln(p, safe(literal.Replace(line)))
	}
	fmt.Fprintln(p, ".EE")
}

// text writes words in which blocks are set apart by empty lines: "# TITLE" begins
// a section; lines indented by spaces are an example; a line followed by such as
// begin with a tab is a term and what it means; the rest are paragraphs.
func (p *page) text(words string) {
	for block := range strings.SplitSeq(strings.TrimSpace(words), "\n\n") {
		block = strings.Trim(block, "\n")
		term, rest, _ := strings.Cut(block, "\n")
		switch {
		case strings.HasPrefix(block, "# "):
			p.section(block[2:])
		case strings.HasPrefix(block, "  "):
			p.example(block)
		case strings.HasPrefix(rest, "\t"):
			p.item(term, rest)
		default:
			p.paragraph(block)
		}
	}
}

var (
	// literal are the characters that roff would set for the eye, not to be copied.
	literal = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)
	plain   = strings.NewReplacer(`\`, `\e`, "-", `\-`, "^", `\(ha`, "~", `\(ti`)
	quoted  = regexp.MustCompile("`([^`]*)`")
	spaces  = regexp.MustCompile(`\s+`)
)

// prose returns words as one line of running text; what is in backquotes is bold.
func prose(words string) string {
	words = spaces.ReplaceAllString(strings.TrimSpace(words), " ")
	return safe(quoted.ReplaceAllString(plain.Replace(words), `\fB$1\fR`))
}

// escape returns a word or some for the argument of a macro.
func escape(words string) string {
	return strings.ReplaceAll(literal.Replace(words), `"`, `\(dq`)
}

// safe keeps a line of text from being taken for a request.
func safe(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}
