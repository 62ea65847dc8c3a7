package lab

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Proc is a background process of a host. It ends with the host at the latest.
type Proc struct {
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
	err    error // why it ended; to be read when exited is closed
}

// Start starts a program in the background. What it writes goes to a file in the host's /var/log/lab.
func (h *Host) Start(name string, args ...string) (*Proc, error) {
	p := &Proc{exited: make(chan struct{})}
	err := h.enter(namespaces, func() error { return p.start(lookPath(name), args) })
	if err != nil {
		return nil, fmt.Errorf("starting %s on %s: %w", name, h.Name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.procs = append(h.procs, p)
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *Proc) start(path string, args []string) (err error) {
	if err := os.MkdirAll("/var/log/lab", 0o755); err != nil {
		return err
	}
	if p.log, err = os.CreateTemp("/var/log/lab", filepath.Base(path)+".*.log"); err != nil {
		return err
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env, p.cmd.Dir = environment(), "/"
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p.cmd.Start()
}

// Pid is the process id as the machine sees it.
func (p *Proc) Pid() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (p *Proc) Exited() <-chan struct{} { return p.exited }

// Output is what the process has written so far, to stdout and stderr, even after the lab was closed.
func (p *Proc) Output() string {
	data, err := io.ReadAll(io.NewSectionReader(p.log, 0, math.MaxInt64))
	if err != nil {
		return fmt.Sprintf("reading output: %v", err)
	}
	return string(data)
}

// Signal sends the process a signal.
func (p *Proc) Signal(sig unix.Signal) error { return p.cmd.Process.Signal(sig) }

// Kill ends the process at once, as kill -9 would, and waits until it is gone.
func (p *Proc) Kill() error {
	if err := p.Signal(unix.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

// Discard closes what a process has written that has ended: who starts thousands would run out of descriptors.
func (p *Proc) Discard() error { return p.log.Close() }

// Stop asks the process to end with a signal, and waits; when ctx ends first, it is killed.
func (p *Proc) Stop(ctx context.Context, sig unix.Signal) error {
	if err := p.Signal(sig); err != nil {
		return fmt.Errorf("stopping %s: %w", p.cmd.Path, err)
	}
	err := p.Wait(ctx)
	if ctx.Err() != nil {
		p.Kill()
	}
	return err
}

// Wait waits until the process has ended and says how: nil for exit code 0.
func (p *Proc) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", p.cmd.Path, ctx.Err())
	}
}

// alive returns an error when the process has ended, with its last words.
func (p *Proc) alive() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s has ended: %v: %s", p.cmd.Path, p.err, strings.TrimSpace(p.Output()))
	default:
		return nil
	}
}

// Until polls try as [Eventually] does, but gives up at once when the process has ended.
func (p *Proc) Until(ctx context.Context, timeout time.Duration, what string, try func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return Eventually(ctx, timeout, what, func() error {
		if err := p.alive(); err != nil {
			cancel(err)
		}
		return try()
	})
}
