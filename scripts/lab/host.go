package lab

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

//go:embed boot.sh
var boot string

// A Host is a machine of its own: network, mount, UTS, IPC and PID namespaces, and its own /etc (a copy of the
// machine's), /var, /run, /root and /home (fresh). The rest, /usr and /tmp and /dev above all, is the machine's.
type Host struct {
	Name string // fully qualified

	init  *exec.Cmd // nil in a machine's host
	life  io.Closer // the pipe init reads: closed, the host ends
	pid   int       // of init
	pidfd int       // of init: the way into the namespaces
	links int       // interfaces made so far
	guest *Machine  // nil unless one was booted in this host

	mu    sync.Mutex
	procs []*Proc
}

// Host boots a machine with that name.
func (l *Lab) Host(ctx context.Context, name string) (*Host, error) {
	h, err := bootHost(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("booting %s: %w", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = append(l.hosts, h)
	return h, nil
}

func bootHost(ctx context.Context, name string) (_ *Host, err error) {
	h := &Host{Name: name, pidfd: -1, init: exec.Command(lookPath("sh"), "-c", boot, name)}
	h.init.Env = environment()
	h.init.Dir = "/"
	h.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces,
		Setpgid:    true, // a terminal's interrupt is for our process, which then closes the lab
	}
	if err := h.start(ctx); err != nil {
		return nil, err
	}
	h.pid = h.init.Process.Pid
	if h.pidfd, err = unix.PidfdOpen(h.pid, 0); err == nil {
		return h, nil
	}
	return nil, errors.Join(err, h.close())
}

// start runs init and waits until it says that it is ready.
func (h *Host) start(ctx context.Context) error {
	var stderr bytes.Buffer
	h.init.Stderr = &stderr
	stdin, err := h.init.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := h.init.StdoutPipe()
	if err != nil {
		return err
	}
	h.life = stdin
	if err := h.init.Start(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { h.init.Process.Kill() })()
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err == nil {
		return nil
	}
	return errors.Join(ctx.Err(), h.close(), errors.New(strings.TrimSpace(stderr.String())))
}

// close ends the host. The kernel lets init be waited for only when all processes of its PID namespace are gone.
func (h *Host) close() error {
	h.life.Close()
	if err := h.init.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending %s: %w", h.Name, err)
	}
	h.init.Wait()
	for _, p := range h.procs {
		<-p.exited
	}
	unix.Close(h.pidfd)
	h.pidfd = -1
	return h.guest.close()
}

// Pid is the process id of the host's init, as the machine sees it: /proc/PID/ns are the host's namespaces.
func (h *Host) Pid() int { return h.pid }
