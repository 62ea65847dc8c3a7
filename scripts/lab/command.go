package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command returns a command which nsenter(1) will run in the host, for callers that want its input and output. When ctx
// ends, its whole process group is killed.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	enter := []string{"-t", fmt.Sprint(h.Pid()), "-n", "-m", "-u", "-i", "-p", "--wd=/", "--", name}
	cmd := exec.CommandContext(ctx, lookPath("nsenter"), append(enter, args...)...)
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second * Patience()
	return cmd
}

// Run runs a program in the host and returns what it wrote to stdout; the error holds what it wrote to stderr.
func (h *Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	return h.run(ctx, "", name, args...)
}

// run is [Host.Run] with something to read on stdin.
func (h *Host) run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	return h.runIn(ctx, namespaces, stdin, name, args...)
}

// runIn runs a program in some of the host's namespaces, and the machine's otherwise.
func (h *Host) runIn(ctx context.Context, ns int, stdin, name string, args ...string) (string, error) {
	var cmd *exec.Cmd
	var stdout, stderr bytes.Buffer
	err := h.enter(ns, func() error {
		cmd = exec.CommandContext(ctx, lookPath(name), args...)
		cmd.Env, cmd.Dir, cmd.WaitDelay = environment(), "/", 2*time.Second*Patience()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
		return cmd.Start()
	})
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return stdout.String(), fmt.Errorf("running %s on %s: %w", name, h.Name, explain(ctx, err, stderr.String()))
	}
	return stdout.String(), nil
}

// explain adds to a program's end what is known of the reason.
func explain(ctx context.Context, err error, stderr string) error {
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if stderr = strings.TrimSpace(stderr); stderr != "" {
		err = fmt.Errorf("%w: %s", err, stderr)
	}
	return err
}

// quiet is [Host.Run] for programs whose output does not matter.
func (h *Host) quiet(ctx context.Context, name string, args ...string) error {
	_, err := h.Run(ctx, name, args...)
	return err
}

// environment is the same whoever runs the lab.
func environment() []string {
	return []string{"PATH=" + searchPath, "HOME=/root", "LANG=C.UTF-8", "TERM=" + os.Getenv("TERM")}
}

// runScript runs a program of scripts, on the machine, and returns what it prints.
func runScript(ctx context.Context, name string) (string, error) {
	_, source, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(source), "..", name)
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, script)
	cmd.Stderr, cmd.WaitDelay = &stderr, 10*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to interrupt the whole of it: it cleans up then
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w", script, explain(ctx, err, stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
