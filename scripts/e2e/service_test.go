package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// The tests named TestService are of postroad as it is installed: the package,
// on a machine with a real systemd as its first process.

// A service is a lab whose alpha is a machine with the package, and whose bravo
// is a host that runs the daemon.
type service struct {
	*lab.Standard
	disk  *lab.Disk
	m     *lab.Machine  // nil: switched off
	alpha *lab.Postroad // without a Proc: systemd has it
	bravo *lab.Postroad
}

// newService installs the package on alpha's disk, with bravo for a peer, and
// leaves it switched off.
func newService(t *testing.T) (context.Context, *service) {
	t.Helper()
	needBackend(t, "userspace")
	ctx, l := newLab(t)
	if err := lab.CheckMachine(); err != nil {
		if os.Getenv(mustRun) != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s := &service{Standard: l}
	var err error
	s.disk, err = lab.NewDisk(ctx, t.TempDir())
	must(t, err)
	must(t, s.disk.Networkd(ctx, l.Alpha))
	s.install(ctx, t)
	s.bravo, err = l.Bravo.Postroad(ctx, binary)
	must(t, err)
	s.introduce(ctx, t)
	must(t, s.bravo.Start(ctx))
	t.Cleanup(func() {
		if t.Failed() && s.m != nil {
			journal, err := s.m.Journal(context.Background(), "postroad.service")
			t.Logf("alpha's journal (%v):\n%s", err, journal)
		}
	})
	return ctx, s
}

// install puts the package on the disk of the machine that is switched off.
func (s *service) install(ctx context.Context, t *testing.T) {
	t.Helper()
	s.copyPackages(t, func(path string, data []byte) error { return s.disk.WriteFile(path, data, 0o644) })
	_, err := s.disk.Run(ctx, "dpkg", "-i", "/root/old.deb")
	must(t, err)
}

// introduce makes alpha and bravo peers.
func (s *service) introduce(ctx context.Context, t *testing.T) {
	t.Helper()
	public, err := s.disk.Run(ctx, "sh", "-c", "postroad pubkey <"+lab.KeyFile)
	must(t, err)
	s.alpha = &lab.Postroad{Site: s.Alpha, Key: strings.TrimSpace(public)}
	must(t, s.disk.WriteFile(lab.PeersFile, lab.PeersText("[host]", s.bravo.Block()), 0o644))
	must(t, s.bravo.Write("[host]", s.alpha.Block()))
}

// boot switches alpha on: a new host, of which nothing is in the kernel. What is
// given is called when its wire is there and systemd is not.
func (s *service) boot(ctx context.Context, t *testing.T, before ...func()) {
	t.Helper()
	must(t, s.Renew(ctx, s.Alpha))
	for _, f := range before {
		f()
	}
	var err error
	s.m, err = s.Alpha.Boot(ctx, s.disk)
	must(t, err)
	must(t, s.m.Up(ctx))
}

// poweroff switches alpha off.
func (s *service) poweroff(ctx context.Context, t *testing.T) {
	t.Helper()
	must(t, s.m.Poweroff(ctx))
	s.m = nil
}

// show returns a property of the unit, as systemctl show tells it.
func (s *service) show(ctx context.Context, t *testing.T, property string) string {
	t.Helper()
	return run(ctx, t, s.m.Host, "systemctl", "show", "postroad.service", "--value", "-p", property)
}

// wait waits until a property of the unit is as wanted.
func (s *service) wait(ctx context.Context, t *testing.T, property, want string) {
	t.Helper()
	must(t, lab.Eventually(ctx, 20*time.Second, property+"="+want, func() error {
		if got := s.show(ctx, t, property); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	}))
}

// protected waits until mail with bravo is protected on both sides.
func (s *service) protected(ctx context.Context, t *testing.T) {
	t.Helper()
	must(t, s.alpha.WaitState(ctx, s.Bravo.Name, "protected"))
	must(t, s.bravo.WaitState(ctx, s.Alpha.Name, "protected"))
}

// pid is that of the service's main process, in the machine.
func (s *service) pid(ctx context.Context, t *testing.T) string { return s.show(ctx, t, "MainPID") }

// buildPackages makes two versions, each for Debian and for others, of a copy of
// the source: the newer one has another peers file.
const buildPackages = `set -e
mkdir $1/source
tar -C ../.. --exclude ./.git --exclude ./.cache -cf - . | tar -C $1/source -xf -
cd $1/source
export ARCHS=amd64 SOURCE_DATE_EPOCH=1700000000
VERSION=9.0.1 scripts/package --out $1/old
echo '# a newer one' >>peers/reference.toml
VERSION=9.0.2 scripts/package --out $1/new
rm -rf $1/source`

// packages are built once.
var packages = sync.OnceValues(func() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "postroad-packages"); err != nil {
		return "", err
	}
	if out, err := exec.Command("bash", "-c", buildPackages, "bash", folder).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building packages: %w: %s", err, out)
	}
	return folder, nil
})

// copyPackages gives a function the packages as /root/old.deb, new.deb, old.rpm
// and new.rpm.
func (s *service) copyPackages(t *testing.T, write func(path string, data []byte) error) {
	t.Helper()
	folder, err := packages()
	must(t, err)
	for _, kind := range []string{"deb", "rpm"} {
		for _, age := range []string{"old", "new"} {
			files, err := filepath.Glob(filepath.Join(folder, age, "*."+kind))
			if err != nil || len(files) != 1 {
				t.Fatalf("looking for the %s %s: %v, %v", age, kind, files, err)
			}
			data, err := os.ReadFile(files[0])
			must(t, err)
			must(t, write("/root/"+age+"."+kind, data))
		}
	}
}

// hammerUnit tries SMTP with bravo from the earliest moment of a boot until the
// last of a shutdown: nothing orders it, and nothing stops it.
func hammerUnit(to *lab.Site) string {
	return fmt.Sprintf(`[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/bash -c 'while :; do nc -n -z -w 1 %s 25; nc -n -z -w 1 %s 25; echo $((++n)) >/var/lib/hammer; done'
KillMode=none
StandardOutput=null
StandardError=null
[Install]
WantedBy=sysinit.target
`, to.IPv4, to.IPv6)
}

// hammered has the machine try SMTP whenever it is on.
func (s *service) hammered(ctx context.Context, t *testing.T) {
	t.Helper()
	must(t, s.disk.WriteFile("/etc/systemd/system/hammer.service", []byte(hammerUnit(s.Bravo)), fs.FileMode(0o644)))
	_, err := s.disk.Run(ctx, "systemctl", "enable", "hammer.service")
	must(t, err)
}

// At a boot the guard stands before the network comes up, and at a shutdown
// longer than the network does: whoever tries SMTP all the time gets nothing out
// in clear. Without the service the same boot shows that the watch sees it.
func TestServiceGuardsBootAndShutdown(t *testing.T) {
	ctx, s := newService(t)
	s.hammered(ctx, t)
	listen(ctx, t, s.Bravo, "25")
	for range 3 {
		var none func()
		s.boot(ctx, t, func() { none = watch(ctx, t, s.Standard) })
		s.protected(ctx, t)
		before := tries(t, s.m.Host)
		must(t, lab.Eventually(ctx, 10*time.Second, "tries", func() error {
			if now := tries(t, s.m.Host); now < before+20 {
				return fmt.Errorf("%d more", now-before)
			}
			return nil
		}))
		s.poweroff(ctx, t)
		none()
	}
	_, err := s.disk.Run(ctx, "systemctl", "mask", "postroad.service")
	must(t, err)
	_, err = s.bravo.Command(ctx, "down")
	must(t, err)
	var w *lab.Watch
	s.boot(ctx, t, func() {
		var err error
		w, err = s.WatchClear(ctx)
		must(t, err)
	})
	must(t, lab.Eventually(ctx, 10*time.Second, "the control: SMTP in clear", func() error {
		if n, err := w.Clear(ctx); err != nil || n == 0 {
			return fmt.Errorf("%d packets, %w", n, err)
		}
		return nil
	}))
}

func tries(t *testing.T, h *lab.Host) int {
	t.Helper()
	data, err := h.ReadFile("/var/lib/hammer")
	must(t, err)
	n, _ := strconv.Atoi(strings.TrimSpace(string(data))) // empty while it is being written
	return n
}

// The unit's place in the boot: ready before the network is set up, and before a
// mail server starts.
func TestServiceComesBeforeNetworkAndMail(t *testing.T) {
	ctx, s := newService(t)
	_, err := s.disk.Run(ctx, "systemctl", "enable", "postfix.service")
	must(t, err)
	s.boot(ctx, t)
	stamp := func(unit, property string) int {
		out := run(ctx, t, s.m.Host, "systemctl", "show", unit, "--value", "-p", property)
		n, err := strconv.Atoi(out)
		if err != nil || n == 0 {
			t.Fatalf("%s of %s is %q", property, unit, out)
		}
		return n
	}
	ready := stamp("postroad.service", "ActiveEnterTimestampMonotonic")
	for _, unit := range []string{"systemd-networkd.service", "postfix@-.service"} {
		if began := stamp(unit, "InactiveExitTimestampMonotonic"); began < ready {
			t.Errorf("%s began %d microseconds before postroad was ready", unit, ready-began)
		}
	}
	began := stamp("postroad.service", "InactiveExitTimestampMonotonic")
	t.Logf("figure: service, from start to READY at a boot: %d ms", (ready-began)/1000)
	if out := run(ctx, t, s.m.Host, "journalctl", "-b", "--no-pager"); strings.Contains(out, "ordering cycle") {
		t.Errorf("there is an ordering cycle:\n%s", out)
	}
}

// Real mail both ways, by the packages' Postfix, as services.
func TestServiceMailBothWays(t *testing.T) {
	ctx, s := newService(t)
	var none func()
	s.boot(ctx, t, func() { none = watch(ctx, t, s.Standard) })
	s.protected(ctx, t)
	alpha, bravo := postfix(ctx, t, s.Alpha), postfix(ctx, t, s.Bravo)
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v", v6), func(t *testing.T) {
			deliver(ctx, t, alpha, s.Alpha, "alice", bravo, s.Bravo, "bob", v6, 25)
			deliver(ctx, t, bravo, s.Bravo, "bob", alpha, s.Alpha, "alice", v6, 25)
		})
	}
	none()
}
