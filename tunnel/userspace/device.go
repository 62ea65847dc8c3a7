// Package userspace carries the tunnel inside our own process: upstream's
// WireGuard on a TUN interface. It creates and closes the device; configuring
// and observing it goes through its UAPI socket, as with the kernel's.
package userspace

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.zx2c4.com/wireguard/device"
)

// socketDir is where wg(8) and wgctrl look for UAPI sockets.
const socketDir = "/var/run/wireguard"

// Socket returns the path of the UAPI socket of an interface.
func Socket(name string) string { return filepath.Join(socketDir, name+".sock") }

// MaxPeers is how many a device takes.
const MaxPeers = device.MaxPeers

// A Device is an interface whose WireGuard runs in this process. It goes when
// the process does.
type Device struct {
	dev    *device.Device
	roster *roster
	uapi   net.Listener
	name   string
	work   *processors
}

// Create makes the interface, down and without peers, and serves its UAPI
// socket. It fails if an interface of the name exists.
func Create(name string, mtu int, log *slog.Logger) (*Device, error) {
	if _, err := net.InterfaceByName(name); err == nil {
		return nil, fmt.Errorf("creating link %s: a link of this name exists", name)
	}
	work := newProcessors()
	t, err := newInterface(name, mtu, work)
	if err != nil {
		return nil, fmt.Errorf("creating TUN %s: %w", name, cmp.Or(Missing(), err))
	}
	uapi, err := listen(name)
	if err != nil {
		t.Close()
		return nil, err
	}
	bind := newBind(work)
	bind.roster = newRoster(bind, residents)
	d := &Device{dev: device.NewDevice(watched{t, bind.roster}, bind, logger(log)), roster: bind.roster, uapi: uapi, name: name, work: work}
	d.roster.begin(d.dev)
	go d.serve()
	return d, nil
}

// Missing says why there can be no TUN interface, and how to get it; nil: there
// can be one.
func Missing() error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: allow this process to use the device", err)
	}
	return fmt.Errorf("%w: try `modprobe tun`, or give the container the device", err)
}

// logger passes on what nobody else would tell: an error of the UAPI is told to
// whoever asked there.
func logger(log *slog.Logger) *device.Logger {
	return &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf: func(format string, args ...any) {
			if text := fmt.Sprintf(format, args...); !strings.HasPrefix(text, "IPC error") {
				log.Warn("wireguard: " + text)
			}
		},
	}
}

// listen opens the UAPI socket. Upstream's own way changes the umask of the
// whole process meanwhile; a directory that only we may enter does not.
func listen(name string) (net.Listener, error) {
	if err := os.MkdirAll(socketDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for the UAPI socket: %w", err)
	}
	path := Socket(name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing an old UAPI socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the UAPI socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("closing the UAPI socket to others: %w", err)
	}
	return l, nil
}

func (d *Device) serve() {
	for {
		c, err := d.uapi.Accept()
		if err != nil {
			return
		}
		go d.roster.handle(c)
	}
}

// Name returns the name that the interface was created with.
func (d *Device) Name() string { return d.name }

// Up opens the UDP port. The link's own up would do it too, later, and would
// tell nobody that the port is taken.
func (d *Device) Up() error {
	if err := d.dev.Up(); err != nil {
		return fmt.Errorf("opening the UDP port: %w", err)
	}
	return nil
}

// Greet begins a handshake with a peer, if it is configured and none has just begun
// one. The way that UAPI has, to switch the keepalive on, has a peer that does not
// answer hold a packet's buffer of 64 KiB for as long as it is tried. That there
// is no way to the peer is logged, and tried again by the device's own timers.
func (d *Device) Greet(peer [32]byte) { d.roster.greet(peer) }

// Hurry has all processors used until done is called, however few are enough for
// the packets.
func (d *Device) Hurry() (done func()) {
	d.work.lend(1)
	return func() { d.work.lend(-1) }
}

// Gone says whether the device has ended, for instance because its interface
// was deleted.
func (d *Device) Gone() bool {
	select {
	case <-d.dev.Wait():
		return true
	default:
		return false
	}
}

// Close removes the interface and ends all sessions. It may be called again.
func (d *Device) Close() {
	d.uapi.Close()
	d.roster.end()
	d.dev.Close()
}
