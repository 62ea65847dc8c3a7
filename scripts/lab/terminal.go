package lab

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// TerminalPackages are the Debian packages that a [Terminal] needs, as [Packages] are those of a lab.
var TerminalPackages = map[string][]string{
	"tmux": {"tmux"},
}

// A Terminal is a shell on a host, in a terminal that keeps what is on its screen: tmux(1). It ends with the host.
type Terminal struct{ host *Host }

const tmuxSocket = "/run/tmux.sock"

// Terminal opens the host's one terminal, of so many columns and lines.
func (h *Host) Terminal(ctx context.Context, width, height int) (*Terminal, error) {
	if lookPath("tmux") == "" {
		return nil, fmt.Errorf("tmux is missing: try apt-get install tmux")
	}
	t := &Terminal{h}
	err := t.tmux(ctx, "-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height+1),
		"env PS1='$ ' sh")
	if err != nil {
		return nil, err
	}
	return t, t.Resize(ctx, width, height)
}

// Resize makes the terminal another size.
func (t *Terminal) Resize(ctx context.Context, width, height int) error {
	if err := t.tmux(ctx, "set", "-g", "status", "off"); err != nil {
		return err
	}
	return t.tmux(ctx, "resize-window", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height))
}

// Type types a line into the shell, or whatever reads it.
func (t *Terminal) Type(ctx context.Context, line string) error {
	if err := t.tmux(ctx, "send-keys", "-l", line); err != nil {
		return err
	}
	return t.Press(ctx, "Enter")
}

// Press presses keys by tmux's names, such as "q", "Enter" or "C-c".
func (t *Terminal) Press(ctx context.Context, keys ...string) error {
	return t.tmux(ctx, append([]string{"send-keys"}, keys...)...)
}

// Screen is the text on the screen.
func (t *Terminal) Screen(ctx context.Context) (string, error) {
	return t.host.Run(ctx, "tmux", "-S", tmuxSocket, "capture-pane", "-p")
}

// Ask tells tmux's opinion of a format, such as "#{alternate_on}".
func (t *Terminal) Ask(ctx context.Context, format string) (string, error) {
	out, err := t.host.Run(ctx, "tmux", "-S", tmuxSocket, "display-message", "-p", format)
	return strings.TrimSpace(out), err
}

// Wait waits until the screen is as shown says: nil is yes, and else it tells what is amiss.
func (t *Terminal) Wait(ctx context.Context, timeout time.Duration, what string, shown func(screen string) error) error {
	return Eventually(ctx, timeout, what, func() error {
		screen, err := t.Screen(ctx)
		if err == nil {
			err = shown(screen)
		}
		if err != nil {
			return fmt.Errorf("%w; the screen:\n%s", err, screen)
		}
		return nil
	})
}

func (t *Terminal) tmux(ctx context.Context, args ...string) error {
	return t.host.quiet(ctx, "tmux", append([]string{"-S", tmuxSocket}, args...)...)
}
