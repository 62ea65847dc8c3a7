package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// init lets the test binary be a process that has a machine and never closes it, for [TestMachineKilled].
func init() {
	if folder := os.Getenv("LAB_TEST_MACHINE_KILLED"); folder != "" {
		beKilledWithMachine(folder)
	}
}

func beKilledWithMachine(folder string) {
	ctx := context.Background()
	s, err := NewStandard(ctx)
	if err != nil {
		panic(err)
	}
	disk, err := NewDisk(ctx, folder)
	if err != nil {
		panic(err)
	}
	m, err := s.Alpha.Host.Boot(ctx, disk)
	if err != nil {
		panic(err)
	}
	if err := m.Up(ctx); err != nil {
		panic(err)
	}
	fmt.Println(os.Getpid(), m.nspawn.Pid(), m.Pid(), s.Alpha.Link.Host.Pid())
	select {}
}

// newDisk returns a fresh disk with a network for the site, and skips where no machine can be made, as [mustRun] does.
func newDisk(t *testing.T, site *Site) *Disk {
	t.Helper()
	mustRunMachine(t)
	disk := must[*Disk](t)(NewDisk(t.Context(), t.TempDir()))
	if err := disk.Networkd(t.Context(), site); err != nil {
		t.Fatal(err)
	}
	return disk
}

func mustRunMachine(t *testing.T) {
	t.Helper()
	mustRun(t)
	switch err := CheckMachine(); {
	case err != nil && os.Getenv("POSTROAD_TEST_ROOT") == "1":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
}

// bootSite boots a machine as a site of the layout and waits until it is up.
func bootSite(t *testing.T, s *Standard, site *Site, disk *Disk) *Machine {
	t.Helper()
	begin := time.Now()
	if err := s.Renew(t.Context(), site); err != nil {
		t.Fatal(err)
	}
	m := must[*Machine](t)(site.Boot(t.Context(), disk))
	started := time.Now()
	if err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("machine: started after %v, up after %v", started.Sub(begin).Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	return m
}

// unit is a program with no right but one, which makes a TUN and an nft table, and looks at what it may do.
const unit = `[Unit]
Description=makes a link and a table

[Service]
Type=oneshot
RemainAfterExit=yes
DynamicUser=yes
AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
StateDirectory=lab
ExecStart=ip tuntap add mode tun name lab0
ExecStart=nft add table inet lab_unit
ExecStart=sh -c 'id -u >/var/lib/lab/uid'

[Install]
WantedBy=multi-user.target
`

func TestMachine(t *testing.T) {
	s := newStandard(t)
	disk := newDisk(t, s.Alpha)
	if err := disk.WriteFile("/etc/systemd/system/lab.service", []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	must[string](t)(disk.Run(t.Context(), "systemctl", "enable", "lab.service"))
	m := bootSite(t, s, s.Alpha, disk)

	t.Run("systemd", func(t *testing.T) {
		if got := must[string](t)(m.Run(t.Context(), "cat", "/proc/1/comm")); got != "systemd\n" {
			t.Errorf("the first process is %q", got)
		}
		if got := strings.TrimSpace(must[string](t)(m.Run(t.Context(), "hostname", "-f"))); got != "mx1.alpha.example" {
			t.Errorf("host name: %q", got)
		}
	})
	t.Run("network", func(t *testing.T) { testMachineNetwork(t, s) })
	t.Run("unit", func(t *testing.T) { testMachineUnit(t, m) })
	t.Run("mail", func(t *testing.T) { testMachineMail(t, s) })
	t.Run("reboot", func(t *testing.T) { testMachineReboot(t, s, m, disk) })
}

// testMachineNetwork reaches the addresses that networkd has set, and whose it is all.
func testMachineNetwork(t *testing.T, s *Standard) {
	for _, to := range []string{s.Alpha.IPv4.String(), s.Alpha.IPv6.String()} {
		for _, from := range []*Host{s.Router, s.Bravo.Host} {
			must[string](t)(from.Run(t.Context(), "ping", "-n", "-c", "1", "-W", "2", to))
		}
	}
	if out := must[string](t)(s.Alpha.Run(t.Context(), "ip", "route", "show", "default")); !strings.Contains(out, "proto static") {
		t.Errorf("the route is not networkd's: %q", out)
	}
	if err := s.Alpha.Sysctl("net.ipv4.conf.eth0.rp_filter", "1"); err != nil {
		t.Error(err)
	}
}

func testMachineUnit(t *testing.T, m *Machine) {
	must[string](t)(m.Run(t.Context(), "ip", "link", "show", "lab0"))
	must[string](t)(m.Run(t.Context(), "nft", "list", "table", "inet", "lab_unit"))
	if uid := string(must[[]byte](t)(m.ReadFile("/var/lib/lab/uid"))); uid == "0\n" {
		t.Error("the unit ran as root")
	}
	if journal := must[string](t)(m.Journal(t.Context(), "lab.service")); !strings.Contains(journal, "makes a link and a table") {
		t.Errorf("journal: %q", journal)
	}
	if err := errors.Join(m.WriteFile("/etc/systemd/system/lab-bad.service", []byte("[Service]\nExecStart=false\n"), 0o644),
		m.quiet(t.Context(), "systemctl", "start", "lab-bad.service")); err != nil {
		t.Fatal(err)
	}
	err := Eventually(t.Context(), 5*time.Second, "a failed unit to be noticed", func() error {
		if err := m.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "lab-bad.service") {
			return fmt.Errorf("up: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// testMachineMail sends mail in clear to a machine, which the watch has to see.
func testMachineMail(t *testing.T, s *Standard) {
	watch := must[*Watch](t)(s.WatchClear(t.Context()))
	alpha, bravo := startPostfix(t, s.Alpha), startPostfix(t, s.Bravo)
	must[string](t)(bravo.Send(t.Context(), "bob@bravo.example", "alice@alpha.example", "machine", "Hello Alice."))
	must[string](t)(alpha.WaitMail(t.Context(), "alice", "Subject: machine"))
	if n := must[int](t)(watch.Finish(t.Context())); n == 0 {
		t.Error("a message in clear was not seen")
	}
}

// testMachineReboot boots the disk again: what was on it is there, what was in the kernel is gone.
func testMachineReboot(t *testing.T, s *Standard, m *Machine, disk *Disk) {
	before := processes(m)
	if err := m.WriteFile("/var/lib/lab-test", []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := m.Poweroff(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("powered off in %v", time.Since(begin).Round(time.Millisecond))
	if err := gone(before); err != nil {
		t.Error(err)
	}
	if journal := must[string](t)(disk.Journal(t.Context(), "lab.service")); !strings.Contains(journal, "Stopped lab.service") {
		t.Errorf("journal: %q", journal)
	}
	must[string](t)(disk.Run(t.Context(), "systemctl", "disable", "lab.service"))
	m = bootSite(t, s, s.Alpha, disk)
	if got := string(must[[]byte](t)(m.ReadFile("/var/lib/lab-test"))); got != "kept" {
		t.Errorf("the file holds %q", got)
	}
	if tables := must[string](t)(m.Run(t.Context(), "nft", "list", "tables")); tables != "" {
		t.Errorf("tables from before: %s", tables)
	}
	testMachineNetwork(t, s)
}

func processes(m *Machine) []int { return []int{m.nspawn.Pid(), m.Pid()} }

func TestMachineClose(t *testing.T) {
	s := newStandard(t)
	disk := newDisk(t, s.Bravo)
	m := bootSite(t, s, s.Bravo, disk)
	must[*Proc](t)(m.Start("sleep", "1000"))
	pids := processes(m)
	if left := leftCgroups(); len(left) == 0 {
		t.Error("the machine has no cgroup")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gone(pids); err != nil {
		t.Error(err)
	}
	if left := leftCgroups(); len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
	mounts := string(must[[]byte](t)(os.ReadFile("/proc/self/mountinfo")))
	if strings.Contains(mounts, disk.upper) || strings.Contains(mounts, "/run/machine") {
		t.Errorf("a mount is left:\n%s", mounts)
	}
}

// leftCgroups are this process's cgroups.
func leftCgroups() (left []string) { return cgroupsOf(os.Getpid()) }

func cgroupsOf(pid int) (dirs []string) {
	for _, root := range hierarchies() {
		found, _ := filepath.Glob(fmt.Sprintf("%s/%s%d-*", root, cgroupPrefix, pid))
		dirs = append(dirs, found...)
	}
	return dirs
}

// TestMachineKilled kills a process that has a machine. The machine ends at once, and the next run removes the cgroups.
func TestMachineKilled(t *testing.T) {
	mustRunMachine(t)
	must[*Disk](t)(NewDisk(t.Context(), t.TempDir())) // the file system may have to be built
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "LAB_TEST_MACHINE_KILLED="+t.TempDir())
	cmd.Stderr = os.Stderr
	stdout := must[io.ReadCloser](t)(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for f := range strings.FieldsSeq(must[string](t)(bufio.NewReader(stdout).ReadString('\n'))) {
		pids = append(pids, must[int](t)(strconv.Atoi(f)))
	}
	if len(cgroupsOf(pids[0])) == 0 {
		t.Error("the machine has no cgroup")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := Eventually(t.Context(), 5*time.Second, "the machine to be gone", func() error { return gone(pids) }); err != nil {
		t.Error(err)
	}
	err := Eventually(t.Context(), 5*time.Second, "the cgroups to be gone", func() error {
		for _, root := range hierarchies() {
			sweepCgroups(root)
		}
		if left := cgroupsOf(pids[0]); len(left) > 0 {
			return fmt.Errorf("left are %v", left)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
