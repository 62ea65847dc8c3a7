package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MachinePackages are the Debian packages that a [Machine] needs, as [Packages] are those of a lab.
var MachinePackages = map[string][]string{
	"systemd-container": {"systemd-nspawn"},
}

// A Machine is a host with a real systemd: a container in a lab host, whose network it has and with which it ends. The
// host's methods work in it: Run, Start, WriteFile and so on.
type Machine struct {
	*Host
	nspawn  *Proc
	cgroups []string
}

// CheckMachine returns an error that says what this machine lacks for a [Machine].
func CheckMachine() error {
	for pkg, programs := range MachinePackages {
		for _, name := range programs {
			if lookPath(name) == "" {
				return fmt.Errorf("%s is missing: try apt-get install %s", name, pkg)
			}
		}
	}
	return nil
}

// Boot boots a machine in the host, from a disk. It returns when systemd has been started: see [Machine.Up].
func (h *Host) Boot(ctx context.Context, disk *Disk) (*Machine, error) {
	m := &Machine{Host: &Host{Name: h.Name, pidfd: -1, links: h.links}}
	if h.guest != nil {
		return nil, fmt.Errorf("booting systemd on %s: its kernel has booted before", h.Name)
	}
	h.guest = m // whatever becomes of it, it ends with the host
	if err := m.boot(ctx, h, disk); err != nil {
		return nil, fmt.Errorf("booting systemd on %s: %w", h.Name, err)
	}
	return m, nil
}

func (m *Machine) boot(ctx context.Context, h *Host, disk *Disk) (err error) {
	if err := errors.Join(CheckMachine(), disk.adopt(h)); err != nil {
		return err
	}
	if m.cgroups, err = newCgroup(); err != nil {
		return err
	}
	if err := h.prepare(disk); err != nil {
		return err
	}
	if m.nspawn, err = h.Start("sh", append([]string{"-c", enterCgroups, "sh"}, m.container()...)...); err != nil {
		return err
	}
	return m.nspawn.Until(ctx, 10*time.Second, "systemd", m.findInit)
}

// prepare puts at hand, in the host, what the container is made of.
func (h *Host) prepare(disk *Disk) error {
	root, err := disk.mount()
	if err != nil {
		return err
	}
	defer unix.Close(root)
	const whole = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	cgroup, err := unix.OpenTree(unix.AT_FDCWD, "/sys/fs/cgroup", whole)
	if err != nil {
		return fmt.Errorf("taking the cgroups along: %w", err)
	}
	defer unix.Close(cgroup)
	return h.enter(namespaces, func() error {
		return errors.Join(attach(root, "/run/machine"), attach(cgroup, "/sys/fs/cgroup"), makeTUN("/run/tun"))
	})
}

// Share shows the host a folder of the machine's that it has one of its own for, under the same path.
func (h *Host) Share(folder string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, folder, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("sharing %s: %w", folder, err)
	}
	defer unix.Close(fd)
	return h.wrap(h.enter(namespaces, func() error { return attach(fd, folder) }), "sharing")
}

// attach mounts what is mounted nowhere so far. What happens there stays there.
func attach(fd int, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mounting on %s: %w", dir, err)
	}
	return unix.Mount("", dir, "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// makeTUN makes the device that udev makes: everybody may open it.
func makeTUN(path string) error {
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	return os.Chmod(path, 0o666)
}

// enterCgroups runs its arguments from -- on, in the cgroups that are its arguments before.
const enterCgroups = `while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"`

func (m *Machine) container() []string {
	return append(slices.Clone(m.cgroups), "--", "env", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network", "systemd-nspawn",
		"--quiet", "--boot", "--directory=/run/machine", "--machine="+m.Name, "--hostname="+m.Name,
		"--network-namespace-path=/proc/self/ns/net", "--capability=CAP_NET_ADMIN",
		"--bind=/run/tun:/dev/net/tun", "--system-call-filter=bpf", "--register=no", "--keep-unit", "--settings=no",
		"--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off")
}

// findInit looks for the container's first process, among nspawn's children, and sets the host's way into it.
func (m *Machine) findInit() error {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.nspawn.Pid()))
	if err != nil {
		return err
	}
	for child := range strings.FieldsSeq(string(children)) {
		if exe, err := os.Readlink("/proc/" + child + "/exe"); err != nil || filepath.Base(exe) != "systemd" {
			continue
		}
		if m.pid, err = strconv.Atoi(child); err != nil {
			return err
		}
		m.pidfd, err = unix.PidfdOpen(m.pid, 0)
		return err
	}
	return errors.New("it has not been started")
}

// Up waits until the machine has booted. It is an error if a unit has failed then.
func (m *Machine) Up(ctx context.Context) error {
	var state string
	err := m.nspawn.Until(ctx, 30*time.Second, m.Name+" to be up", func() (err error) {
		state, err = m.Run(ctx, "systemctl", "is-system-running", "--wait")
		if state = strings.TrimSpace(state); state == "running" || state == "degraded" {
			return nil
		}
		return fmt.Errorf("it is %q: %w", state, err)
	})
	if err != nil || state == "running" {
		return err
	}
	failed, err := m.Run(ctx, "systemctl", "list-units", "--failed", "--plain", "--no-legend")
	return errors.Join(fmt.Errorf("booting %s: units have failed: %s", m.Name, strings.TrimSpace(failed)), err)
}

// Journal is what a unit has said since the machine was booted, and systemd about it; of "" it is everything.
func (m *Machine) Journal(ctx context.Context, unit string) (string, error) {
	return m.Run(ctx, "journalctl", append(journalWords(unit), "--boot")...)
}

// shutdown is the signal that has systemd power off: SIGRTMIN+4.
const shutdown = unix.Signal(34 + 4)

// Poweroff shuts the machine down in an orderly way and waits until it is off.
func (m *Machine) Poweroff(ctx context.Context) error {
	if err := unix.PidfdSendSignal(m.pidfd, shutdown, nil, 0); err != nil {
		return fmt.Errorf("powering off %s: %w", m.Name, err)
	}
	if err := m.nspawn.Wait(ctx); err != nil {
		return fmt.Errorf("powering off %s: %w: %s", m.Name, err, strings.TrimSpace(m.nspawn.Output()))
	}
	return nil
}

// close forgets a machine whose host has ended, and removes its cgroups. There may be no machine.
func (m *Machine) close() error {
	if m == nil {
		return nil
	}
	for _, p := range m.procs {
		<-p.exited
	}
	unix.Close(m.pidfd)
	m.pidfd = -1
	return removeCgroups(m.cgroups)
}

// Renew replaces a site's host by one that has just been switched on: nothing of the old one's kernel is left, and its
// interface, whose wire is the only thing ready, has no address and is down. A machine can be booted in it, and be watched
// from its first packet on. It is not for charlie, who has one address more.
func (s *Standard) Renew(ctx context.Context, site *Site) error {
	old := site.Link
	err := old.Router.quiet(ctx, "ip", "link", "delete", old.RouterInterface) // else its name stays taken for a while
	if err := errors.Join(err, s.discard(old.Host)); err != nil {
		return fmt.Errorf("renewing %s: %w", site.Name, err)
	}
	host, err := s.Host(ctx, site.Name)
	if err != nil {
		return err
	}
	link := *old
	link.Host, link.HostInterface = host, host.nextInterface()
	site.Host, site.Link = host, &link
	err = site.Link.lay(ctx)
	for _, p := range site.prefixes() {
		err = errors.Join(err, site.Link.addressRouter(ctx, p.String()))
	}
	hosts, errHosts := s.Router.ReadFile("/etc/hosts")
	if err := errors.Join(err, errHosts, host.WriteFile("/etc/hosts", hosts, 0o644)); err != nil {
		return fmt.Errorf("renewing %s: %w", site.Name, err)
	}
	return nil
}

// prefixes are the site's addresses as Link and networkd want them.
func (s *Site) prefixes() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(s.IPv4, 24), netip.PrefixFrom(s.IPv6, 64)}
}

// discard ends one host before the others.
func (l *Lab) discard(h *Host) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = slices.DeleteFunc(l.hosts, func(other *Host) bool { return other == h })
	return h.close()
}

// Boot boots a machine in the site's host, which [Standard.Renew] has made, and makes it the site's host.
func (s *Site) Boot(ctx context.Context, disk *Disk) (*Machine, error) {
	m, err := s.Host.Boot(ctx, disk)
	if err != nil {
		return nil, err
	}
	s.Host = m.Host
	return m, nil
}
