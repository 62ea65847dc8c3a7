package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Disk is what a [Machine] boots from: a Debian with systemd, and whatever was changed on it. It outlives the machine,
// so that another one can boot from it: one at a time.
type Disk struct {
	lower, upper, work string
}

// NewDisk returns the disk that is kept in a folder, a new one if the folder is empty. The folder can not be on overlayfs.
func NewDisk(ctx context.Context, folder string) (*Disk, error) {
	lower, err := rootfs(ctx)
	if err != nil {
		return nil, fmt.Errorf("making a disk: %w", err)
	}
	d := &Disk{lower: lower, upper: filepath.Join(folder, "upper"), work: filepath.Join(folder, "work")}
	err = errors.Join(os.MkdirAll(d.upper, 0o755), os.MkdirAll(d.work, 0o755))
	if err == nil {
		err = os.Chmod(d.upper, 0o755) // it will be the machine's root directory, whatever the umask is
	}
	if err != nil {
		return nil, fmt.Errorf("making a disk: %w", err)
	}
	return d, nil
}

// rootfs is where an unpacked Debian is: $POSTROAD_ROOTFS, or else what scripts/vm/rootfs has built.
func rootfs(ctx context.Context) (string, error) {
	if folder := os.Getenv("POSTROAD_ROOTFS"); folder != "" {
		return folder, nil
	}
	return runScript(ctx, "vm/rootfs")
}

// mount mounts the disk nowhere: its file descriptor is the only way in, and unmounts it when closed.
func (d *Disk) mount() (fd int, err error) {
	ctx, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("mounting the disk: %w", err)
	}
	defer unix.Close(ctx)
	err = errors.Join(
		unix.FsconfigSetString(ctx, "lowerdir", d.lower),
		unix.FsconfigSetString(ctx, "upperdir", d.upper),
		unix.FsconfigSetString(ctx, "workdir", d.work),
		unix.FsconfigCreate(ctx),
	)
	if err == nil {
		fd, err = unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("mounting the disk over %s: %w", d.lower, err)
	}
	return fd, nil
}

// Edit lets f change files while no machine runs. Paths are relative to the root directory.
func (d *Disk) Edit(f func(*os.Root) error) error {
	fd, err := d.mount()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return fmt.Errorf("opening the disk: %w", err)
	}
	defer root.Close()
	return f(root)
}

// WriteFile writes a file, such as /etc/fstab, and its directories if need be, while no machine runs.
func (d *Disk) WriteFile(path string, data []byte, mode fs.FileMode) error {
	return d.Edit(func(root *os.Root) error { return write(root, path, string(data), mode) })
}

func write(root *os.Root, path, data string, mode fs.FileMode) error {
	path = strings.TrimPrefix(path, "/")
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := root.WriteFile(path, []byte(data), mode); err != nil {
		return err
	}
	return root.Chmod(path, mode) // whatever the umask was
}

// Run runs a program of the disk's while no machine runs, such as dpkg -i FILE or systemctl enable UNIT, and returns what
// it wrote to stdout. It sees the machine's own network and processes: only files are the disk's.
func (d *Disk) Run(ctx context.Context, name string, args ...string) (string, error) {
	fd, err := d.mount()
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "/usr/bin/env", append([]string{name}, args...)...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = append(environment(), "SYSTEMD_OFFLINE=1"), "/", 2*time.Second
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: fmt.Sprintf("/proc/self/fd/%d", fd)}
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running %s on the disk: %w", name, explain(ctx, err, stderr.String()))
	}
	return stdout.String(), nil
}

// Journal is what a unit said, and systemd about it, in all boots so far, while no machine runs: how one was shut down.
func (d *Disk) Journal(ctx context.Context, unit string) (string, error) {
	return d.Run(ctx, "journalctl", append(journalWords(unit), "--directory=/var/log/journal")...)
}

// journalWords are journalctl's words for a unit, or for everything.
func journalWords(unit string) []string {
	words := []string{"--no-pager", "--output=short-precise"}
	if unit != "" {
		words = append(words, "--unit="+unit)
	}
	return words
}

// Networkd has systemd-networkd give the site's interface its addresses and default routes at boot.
func (d *Disk) Networkd(ctx context.Context, site *Site) error {
	var network strings.Builder
	fmt.Fprintf(&network, "[Match]\nName=%s\n\n[Network]\nIPv6AcceptRA=no\n", site.Link.HostInterface)
	for _, p := range site.prefixes() {
		fmt.Fprintf(&network, "Address=%s\nGateway=%s\n", p, gateway(p))
	}
	if err := d.WriteFile("/etc/systemd/network/lab.network", []byte(network.String()), 0o644); err != nil {
		return err
	}
	_, err := d.Run(ctx, "systemctl", "enable", "systemd-networkd.service")
	return err
}

// adopt gives the disk the names that the host has, and the users that every host of a lab has.
func (d *Disk) adopt(h *Host) error {
	hosts, err := h.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	return d.Edit(func(root *os.Root) error {
		return errors.Join(
			write(root, "/etc/hostname", h.Name+"\n", 0o644),
			write(root, "/etc/mailname", h.Name+"\n", 0o644),
			write(root, "/etc/hosts", string(hosts), 0o644),
			write(root, "/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", 0o644),
			addUsers(root),
		)
	})
}

// addUsers adds users to a disk that lacks them.
func addUsers(root *os.Root) error {
	passwd, err := root.ReadFile("etc/passwd")
	if err != nil || bytes.Contains(passwd, []byte("\nalice:")) {
		return err
	}
	for i, user := range []string{"alice", "bob", "carol"} {
		home := "home/" + user
		passwd = fmt.Appendf(passwd, "%s:x:%d:8::/%s:/bin/sh\n", user, 2001+i, home)
		err = errors.Join(err, root.MkdirAll(home, 0o700), root.Chown(home, 2001+i, 8))
	}
	return errors.Join(err, root.WriteFile("etc/passwd", passwd, 0o644))
}
