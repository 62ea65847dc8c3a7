package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lines logs one record of each level and returns what was written.
func lines(t *testing.T, lo logOptions, journal bool) []string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", s.Dev, s.Ino+1))
	if journal {
		t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", s.Dev, s.Ino))
	}
	log, err := lo.logger(f)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("one")
	log.Info("two", "peer", "b.example")
	log.With("k", 1).WithGroup("g").Warn("three", "time", "kept")
	log.Error("four", "error", errors.New("a\nb \"c\""))
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestLogLines(t *testing.T) {
	const at = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)`
	for name, tc := range map[string]struct {
		options logOptions
		journal bool
		want    []string
	}{
		"text": {logOptions{"text", "info"}, false, []string{
			`time=` + at + ` level=INFO msg=two peer=b\.example`,
			`time=` + at + ` level=WARN msg=three k=1 g\.time=kept`,
			`time=` + at + ` level=ERROR msg=four error="a\\nb \\"c\\""`,
		}},
		"journal": {logOptions{"text", "debug"}, true, []string{
			`<7>level=DEBUG msg=one`,
			`<6>level=INFO msg=two peer=b\.example`,
			`<4>level=WARN msg=three k=1 g\.time=kept`,
			`<3>level=ERROR msg=four error="a\\nb \\"c\\""`,
		}},
		"json": {logOptions{"json", "error"}, false, []string{
			`{"time":"` + at + `","level":"ERROR","msg":"four","error":"a\\nb \\"c\\""}`,
		}},
		"json on the journal": {logOptions{"json", "warn"}, true, []string{
			`<4>{"time":"` + at + `","level":"WARN","msg":"three","k":1,"g":{"time":"kept"}}`,
			`<3>{"time":"` + at + `","level":"ERROR","msg":"four","error":"a\\nb \\"c\\""}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := lines(t, tc.options, tc.journal)
			if len(got) != len(tc.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(got), len(tc.want), strings.Join(got, "\n"))
			}
			for i, want := range tc.want {
				if !regexp.MustCompile("^" + want + "$").MatchString(got[i]) {
					t.Errorf("got  %s\nwant %s", got[i], want)
				}
				if _, text, _ := strings.Cut(got[i], ">"); tc.options.format == "json" && !json.Valid([]byte(strings.TrimPrefix(text, ""))) && !json.Valid([]byte(got[i])) {
					t.Errorf("no JSON: %s", got[i])
				}
			}
		})
	}
}

// Why the daemon does not run is in log lines, one for each reason.
func TestLoggedErrors(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	err := logged(log, misconfigured(errors.Join(errors.New("f:1: one"), errors.New("f:2: two"))))
	var e exitError
	if !errors.As(err, &e) || e.code != exitUsage || e.err != nil {
		t.Errorf("%v", err)
	}
	if got := b.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `msg="not running" error="f:2: two"`) {
		t.Errorf("%s", got)
	}
	if logged(log, nil) != nil {
		t.Error("an error out of nothing")
	}
}

// The manual explains every message that the daemon can log.
func TestManualHasEveryLogLine(t *testing.T) {
	said := strings.Join(strings.Fields(manual), " ")
	n := 0
	for _, m := range messages(t) {
		n++
		if !strings.Contains(said, m) {
			t.Errorf("LOG LINES of postroad(1) lacks %q", m)
		}
	}
	if n < 15 {
		t.Errorf("only %d messages found", n)
	}
}

// messages are the literals that calls of slog's methods have for a message.
func messages(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/scripts/") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err == nil {
			ast.Inspect(file, func(n ast.Node) bool {
				if m := message(n); m != "" {
					all = append(all, m)
				}
				return true
			})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// message is the message of a call such as log.Info("...").
func message(n ast.Node) string {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	literal, isLiteral := call.Args[0].(*ast.BasicLit)
	if !ok || !isLiteral || literal.Kind != token.STRING {
		return ""
	}
	switch method.Sel.Name {
	case "Debug", "Info", "Warn", "Error":
		text, _ := strconv.Unquote(literal.Value)
		return text
	}
	return ""
}
