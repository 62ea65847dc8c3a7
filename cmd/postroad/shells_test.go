package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A shellLab is a folder with a peers file.
type shellLab struct{ dir string }

func newShellLab(t *testing.T, needs ...string) shellLab {
	t.Helper()
	for _, path := range needs {
		if _, err := os.Stat(path); err != nil {
			if os.Getenv("POSTROAD_TEST_ROOT") != "" {
				t.Fatalf("%v: scripts/packaging/needs lists the Debian packages", err)
			}
			t.Skip(err)
		}
	}
	lab := shellLab{t.TempDir()}
	write(t, lab.dir+"/peers.toml", "[[peer]]\nname = \"mx.partner.example\"\n[[peer]]\nname = \"relay.example\"\n")
	write(t, lab.dir+"/peers.txt", "")
	return lab
}

// completions writes a shell's to a file.
func (lab shellLab) completions(t *testing.T, shell, file string) {
	t.Helper()
	out, err := exec.Command("postroad", "completion", shell).Output()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(lab.dir, file), string(out))
}

// run runs a shell and returns what it prints to either.
func (lab shellLab) run(t *testing.T, shell ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, shell[0], shell[1:]...)
	cmd.Dir = lab.dir
	cmd.Env = append(os.Environ(), "HOME="+lab.dir, "TERM=dumb", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", shell, err, out)
	}
	return strings.TrimSpace(string(out))
}

// typed are lines and what the last word of each is completed to.
var typed = []struct{ line, want string }{
	{"postroad sta", "status"},
	{"postroad run --log-le", "--log-level"},
	{"postroad run --log-level deb", "debug"},
	{"postroad -c ./peers.toml doctor mx", "mx.partner.example"},
	{"postroad -c ./peers.toml doctor mx.partner.example re", "relay.example"},
	{"postroad check -c ./pe", "./peers.toml"}, // and not peers.txt
}

func TestBash(t *testing.T) {
	const library = "/usr/share/bash-completion/bash_completion"
	lab := newShellLab(t, "/bin/bash", library)
	lab.completions(t, "bash", "bash")
	const complete = `. ` + library + `; . ./bash
COMP_LINE=$0 COMP_POINT=${#0} COMP_TYPE=9 COMP_KEY=9
read -ra COMP_WORDS <<<"$0"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
spec=($(complete -p postroad)) # complete -o default -F FUNCTION postroad
"${spec[@]: -2:1}" postroad "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}" 2>errors # of compopt, which works for who types only
printf '%s\n' "${COMPREPLY[@]}"`
	for _, tc := range typed {
		if got := lab.run(t, "bash", "--norc", "-c", complete, tc.line); strings.TrimRight(got, " =") != tc.want {
			t.Errorf("%q is completed to %q, want %q", tc.line, got, tc.want)
		}
	}
}

func TestFish(t *testing.T) {
	lab := newShellLab(t, "/usr/bin/fish")
	lab.completions(t, "fish", "postroad.fish")
	for _, tc := range typed {
		got := lab.run(t, "fish", "--no-config", "-c", "source postroad.fish; complete -C $argv[1]", tc.line)
		word, _, _ := strings.Cut(got, "\t")
		if file := strings.Contains(tc.line, "./pe"); word != tc.want && !(file && strings.Contains(got, tc.want)) {
			t.Errorf("%q is completed to %q, want %q", tc.line, got, tc.want)
		}
	}
}

// Zsh completes for who types only: in a terminal.
func TestZsh(t *testing.T) {
	lab := newShellLab(t, "/usr/bin/zsh")
	lab.completions(t, "zsh", "_postroad")
	const complete = `zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1= fpath=($PWD $fpath); autoload -Uz compinit && compinit -u -d $PWD/dump'
zpty -w z 'show() { print -r -- "BUFFER=[$BUFFER]"; BUFFER= }; zle -N show; bindkey "^X" show'
zpty -w z 'print REA""DY'
zpty -r z seen '*READY*'
zpty -w -n z "$1"$'\t\x18'
zpty -r z seen '*BUFFER=\[*\]*'
print -r -- ${${seen##*BUFFER=\[}%%\]*}
zpty -d z`
	for _, tc := range typed {
		got := lab.run(t, "zsh", "-f", "-c", complete, "zsh", tc.line)
		if words := strings.Fields(got); len(words) == 0 || strings.TrimRight(words[len(words)-1], "=") != tc.want {
			t.Errorf("%q is completed to %q, want %q", tc.line, got, tc.want)
		}
	}
}
