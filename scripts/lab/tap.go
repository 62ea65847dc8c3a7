package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Tap is somebody on a wire: he sees every frame that crosses it, and sends there what he likes (packet(7)).
type Tap struct {
	file     *os.File
	Hardware net.HardwareAddr // of the interface that he listens at; nil if it has none
	Far      net.HardwareAddr // of the wire's other end, for [Link.Tap]
}

// Tap listens at the router's end of a wire, on which frames are from then on as on a real one: cut to its size, with
// checksums.
func (w *Link) Tap(ctx context.Context) (*Tap, error) {
	if err := w.Host.quiet(ctx, "ethtool", "-K", w.HostInterface, "tx", "off", "tso", "off", "gso", "off", "gro", "off", "tx-udp-segmentation", "off"); err != nil {
		return nil, err
	}
	far, err := w.Host.Run(ctx, "cat", "/sys/class/net/"+w.HostInterface+"/address")
	if err != nil {
		return nil, err
	}
	t, err := w.Router.Tap(w.RouterInterface)
	if err != nil {
		return nil, err
	}
	t.Far, err = net.ParseMAC(strings.TrimSpace(far))
	return t, err
}

// Tap begins to listen at an interface of the host. What he does not read is kept, up to 64 MB.
func (h *Host) Tap(iface string) (*Tap, error) {
	t := &Tap{}
	err := h.enter(unix.CLONE_NEWNET, func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		t.Hardware = i.HardwareAddr
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		t.file = os.NewFile(uintptr(fd), "the wire")
		const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network byte order
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}))
	})
	if err != nil {
		return nil, fmt.Errorf("listening at %s of %s: %w", iface, h.Name, err)
	}
	return t, nil
}

// Send sends a frame, with its Ethernet header where the interface has such.
func (t *Tap) Send(frame []byte) error {
	_, err := t.file.Write(frame)
	return err
}

// Next returns the next frame, or [os.ErrDeadlineExceeded] if there is none within a time.
func (t *Tap) Next(within time.Duration) ([]byte, error) {
	frame := make([]byte, 1<<16)
	if err := t.file.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	n, err := t.file.Read(frame)
	return frame[:max(n, 0)], err
}

// Close ends it.
func (t *Tap) Close() error { return t.file.Close() }
