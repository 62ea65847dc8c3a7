package main

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postroad/peers"
)

// manual is what postroad(1) says beside what the commands say themselves.
//
//go:embed manual.txt
var manual string

// fileManual is what postroad.toml(5) says beside what peers.Reference says.
//
//go:embed manual-file.txt
var fileManual string

// manuals are the pages that `postroad man` knows.
var manuals = []string{"postroad", "postroad.toml"}

// manCommand is for those who build packages.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man {postroad|postroad.toml}",
		Short: "Print a manual page",
		Long: "Print a manual page, for man(1) to show: postroad(1) or postroad.toml(5). Packages and scripts/install put\n" +
			"them in place. Their date is that of SOURCE_DATE_EPOCH, if that is set.",
		Example:   "  postroad man postroad.toml | man -l -",
		Hidden:    true,
		ValidArgs: manuals,
		Args:      oneOf("page", manuals),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, date := commandPage, manualDate()
			if args[0] == "postroad.toml" {
				p = filePage
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), p(cmd.Root(), date))
			return failed(err)
		},
	}
}

// oneOf wants one argument, which is one of the words.
func oneOf(what string, words []string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("name one %s: %s", what, strings.Join(words, ", "))
		}
		_, err := choice(what, args[0], words)
		return err
	}
}

// manualDate is that of the source: the same source makes the same page.
func manualDate() string {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly)
}

// commandPage returns postroad(1).
func commandPage(root *cobra.Command, date string) string {
	p := newPage("postroad", 1, date, "postroad "+release)
	before, after, _ := strings.Cut(manual, "# COMMANDS\n")
	p.text(before)
	p.section("COMMANDS")
	p.commands(root)
	p.section("OPTIONS")
	p.paragraph("All commands take these.")
	p.flags(root.PersistentFlags())
	p.text(after)
	return p.String()
}

// commands writes all that can be run, each before its subcommands.
func (p *page) commands(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		if !c.HasSubCommands() {
			p.command(c)
		}
		p.commands(c)
	}
}

func (p *page) command(c *cobra.Command) {
	p.subsection(strings.TrimSuffix(c.UseLine(), " [flags]"))
	p.long(c.Long)
	p.flags(c.LocalNonPersistentFlags())
	p.example(c.Example)
}

// long writes what a command says of itself: paragraphs, in which indented lines
// are a table to be kept as it is.
func (p *page) long(words string) {
	for part := range strings.SplitSeq(words, "\n\n") {
		lines := strings.Split(strings.Trim(part, "\n"), "\n")
		for len(lines) > 0 {
			table := strings.HasPrefix(lines[0], "  ")
			n := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  ") != table })
			if n < 0 {
				n = len(lines)
			}
			if run := strings.Join(lines[:n], "\n"); table {
				p.example(run)
			} else {
				p.paragraph(run)
			}
			lines = lines[n:]
		}
	}
}

func (p *page) flags(all *pflag.FlagSet) {
	all.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		term := "--" + f.Name
		if f.Shorthand != "" {
			term = "-" + f.Shorthand + ", " + term
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		p.item(strings.TrimSpace(term+" "+value), usage)
	})
}

// filePage returns postroad.toml(5).
func filePage(_ *cobra.Command, date string) string {
	p := newPage("postroad.toml", 5, date, "postroad "+release)
	before, after, _ := strings.Cut(fileManual, "# SETTINGS\n")
	p.text(before)
	p.settings(peers.Reference)
	p.text(after)
	return p.String()
}

// settings explains every setting of a peers file whose comments do: see
// peers.Reference.
func (p *page) settings(reference string) {
	var words []string
	_, reference, _ = strings.Cut(reference, "\n\n") // what the file is about
	table := ""
	for line := range strings.Lines(reference) {
		line = strings.TrimSpace(line)
		setting := strings.TrimPrefix(line, "#")
		key, value, isSetting := strings.Cut(setting, " = ")
		switch {
		case strings.HasPrefix(line, "# "):
			words = append(words, line[2:])
			continue
		case strings.HasPrefix(setting, "["):
			table = setting
			p.section(table)
			p.paragraph(strings.Join(append(words, tableWords[table]), " "))
		case isSetting:
			p.item(key, explained(table, strings.Join(words, " "), value))
		}
		words = nil
	}
}

// tableWords are for tables whose comments in the reference say less.
var tableWords = map[string]string{"[host]": "This mail host. Every setting has a default."}

// explained adds a setting's value to what is said about it: in [host] it is the
// default, unless that is told.
func explained(table, words, value string) string {
	words = strings.TrimSuffix(words, " Example:")
	if strings.HasSuffix(words, "the default.") {
		return words
	}
	if table == "[host]" && !strings.Contains(words, "Default:") {
		return words + " Default: `" + value + "`."
	}
	return words + " Example: `" + value + "`."
}
