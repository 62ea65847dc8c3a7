package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// logOptions are how the daemon writes its log.
type logOptions struct{ format, level string }

// The words of --log-format and --log-level.
var (
	logFormats = []string{"text", "json"}
	logLevels  = []string{"debug", "info", "warn", "error"}
)

func (l *logOptions) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.format, "log-format", "text", "the `format` of log lines: text (key=value) or json")
	cmd.Flags().StringVar(&l.level, "log-level", "info", "the least `level` to log: debug, info, warn or error")
	completeWords(cmd, "log-format", logFormats)
	completeWords(cmd, "log-level", logLevels)
}

// logger returns a logger that writes to w. Where w is the journal each line has
// its priority, and in text no time: the journal has that.
func (l *logOptions) logger(w io.Writer) (*slog.Logger, error) {
	level, levelErr := choice("--log-level", l.level, logLevels)
	format, formatErr := choice("--log-format", l.format, logFormats)
	if err := errors.Join(levelErr, formatErr); err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{}
	var least slog.Level
	_ = least.UnmarshalText([]byte(level)) // it is one of ours
	o.Level = least
	if onJournal(w) {
		return slog.New(newJournalHandler(w, format, o)), nil
	}
	return slog.New(newHandler(w, format, o)), nil
}

// choice returns given if it is one of the words.
func choice(flag, given string, words []string) (string, error) {
	for _, w := range words {
		if given == w {
			return w, nil
		}
	}
	return "", fmt.Errorf("%s: %q will not do: give %s", flag, given, strings.Join(words, ", "))
}

func newHandler(w io.Writer, format string, o *slog.HandlerOptions) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// onJournal says whether w is the stream that systemd connected to the journal:
// JOURNAL_STREAM names its device and inode, systemd.exec(5).
func onJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	var s unix.Stat_t
	if !ok || unix.Fstat(int(f.Fd()), &s) != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// A journalHandler puts each record's priority before its line, sd-daemon(3).
type journalHandler struct {
	slog.Handler
	out *prefixer
}

func newJournalHandler(w io.Writer, format string, o *slog.HandlerOptions) slog.Handler {
	out := &prefixer{w: w}
	if format == "text" {
		o.ReplaceAttr = withoutTime
	}
	return journalHandler{newHandler(out, format, o), out}
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return a
}

// Handle implements slog.Handler, whose handlers write a record in one go.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.priority = priority(r.Level)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.Handler.WithAttrs(attrs), h.out}
}

// WithGroup implements slog.Handler.
func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.Handler.WithGroup(name), h.out}
}

// A prefixer writes lines with a priority before each.
type prefixer struct {
	mu       sync.Mutex // held from setting priority to writing
	priority int
	w        io.Writer
}

func (p *prefixer) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append(fmt.Appendf(nil, "<%d>", p.priority), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// priority returns syslog(3)'s number for a level.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}
