package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postroad/peers"
)

// walk visits a command and all under it.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

// Every command says what it does and gives an example of itself, and every flag
// says what it is for.
func TestEveryCommandHasHelp(t *testing.T) {
	root := rootCommand()
	walk(root, func(c *cobra.Command) {
		path := c.CommandPath()
		for what, text := range map[string]string{"Short": c.Short, "Long": c.Long, "Example": c.Example} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s has no %s", path, what)
			}
		}
		if !strings.Contains(c.Example, path) {
			t.Errorf("the example of %q does not use it:\n%s", path, c.Example)
		}
		if strings.HasSuffix(c.Short, ".") || strings.ToUpper(c.Short[:1]) != c.Short[:1] {
			t.Errorf("%s: %q is to begin with a capital and end without a full stop", path, c.Short)
		}
		if c != root && !strings.HasSuffix(strings.TrimSpace(c.Long), ".") {
			t.Errorf("%s: Long is to be sentences: %q", path, c.Long)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.HasPrefix(line, "  ") || len(line) > 110 {
				t.Errorf("%s: an example's line is to be indented by two and short: %q", path, line)
			}
		}
		c.InitDefaultHelpFlag()
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || f.Name != "help" && strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s: usage %q", path, f.Name, f.Usage)
			}
		})
	})
}

// Whatever command is given a word or a flag that it does not know, it says so in
// one line that names the command, and ends with status 2.
func TestEveryCommandRefusesUnknownWords(t *testing.T) {
	var paths [][]string
	walk(rootCommand(), func(c *cobra.Command) { paths = append(paths, strings.Fields(c.CommandPath())[1:]) })
	for _, path := range paths {
		var out, stderr bytes.Buffer
		code := run(t.Context(), append(slices.Clone(path), "--frobnicate"), strings.NewReader(""), &out, &stderr)
		want := "postroad: unknown flag: --frobnicate; `" + strings.Join(append([]string{"postroad"}, path...), " ") + " --help` lists all\n"
		if code != exitUsage || stderr.String() != want || out.Len() > 0 {
			t.Errorf("%q: status %d, %q, %q", path, code, stderr.String(), out.String())
		}
	}
}

// The file page has every key of the peers file; the commands' has every command
// and every flag.
func TestManualsAreWhole(t *testing.T) {
	file := filePage(nil, "")
	for line := range strings.Lines(peers.Reference) {
		key, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), " = ")
		if ok && !strings.HasPrefix(line, "# ") && !strings.Contains(file, ".TP\n\\fB"+escape(key)+"\\fR\n") {
			t.Errorf("postroad.toml(5) lacks %s", key)
		}
	}
	root := rootCommand()
	page := commandPage(root, "")
	walk(root, func(c *cobra.Command) {
		if c.IsAvailableCommand() && !c.HasSubCommands() && !strings.Contains(page, ".SS "+escape(c.CommandPath())) {
			t.Errorf("postroad(1) lacks %s", c.CommandPath())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if c.IsAvailableCommand() && f.Name != "help" && !strings.Contains(page, escape("--"+f.Name)) {
				t.Errorf("postroad(1) lacks --%s of %s", f.Name, c.CommandPath())
			}
		})
	})
}

// The peers file that the manual gives as an example is one.
func TestManualsExampleIsSound(t *testing.T) {
	_, example, _ := strings.Cut(fileManual, "    [host]\n")
	example, _, _ = strings.Cut(example, "\nA peer behind")
	_, err := peers.Decode("example", []byte("[host]\n"+strings.ReplaceAll(example, "    ", "")), peers.Env{
		ReadKey: func(string) ([]byte, error) { return []byte("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="), nil }})
	if err != nil || !strings.Contains(example, "[[peer]]") {
		t.Errorf("%v in:\n%s", err, example)
	}
}

// Nobody who types is told what is wrong with the peers file.
func TestCompletePeers(t *testing.T) {
	file := t.TempDir() + "/peers.toml"
	write(t, file, "[host]\nmtu = 1\n[[peer]]\nname = \"mx.b.example\"\n[[peer]]\nname = \"mx.a.example\"\n")
	complete := completePeers(&options{file: file})
	if got, how := complete(nil, []string{"mx.a.example"}, ""); !slices.Equal(got, []string{"mx.b.example"}) || how != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("%q, %v", got, how)
	}
	if got, _ := completePeers(&options{file: file + ".none"})(nil, nil, ""); len(got) > 0 {
		t.Errorf("of no file: %q", got)
	}
}
