package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// A Link is the wire between a router and a host: a veth pair.
type Link struct {
	Router, Host                   *Host
	RouterInterface, HostInterface string
}

// Connect lays a wire between a router and a host, and makes the router one if it was not. Each address, such as
// 192.0.2.10/24, goes on the host's end; the network's first address goes on the router's, and is the default route.
func (l *Lab) Connect(ctx context.Context, router, host *Host, addrs ...string) (*Link, error) {
	w := &Link{Router: router, Host: host, RouterInterface: router.nextInterface(), HostInterface: host.nextInterface()}
	err := w.lay(ctx)
	if err == nil {
		err = host.quiet(ctx, "ip", "link", "set", w.HostInterface, "up")
	}
	for _, addr := range addrs {
		err = errors.Join(err, w.addressRouter(ctx, addr), w.addressHost(ctx, addr))
	}
	if err != nil {
		return nil, fmt.Errorf("connecting %s to %s: %w", host.Name, router.Name, err)
	}
	return w, nil
}

func (h *Host) nextInterface() string {
	h.links++
	return fmt.Sprintf("eth%d", h.links-1)
}

// lay makes the pair in the router's network, not in ours: there is nothing to clean up whatever happens. The host's end
// is left as it is.
func (w *Link) lay(ctx context.Context) error {
	pair := fmt.Sprintf("link add %s type veth peer name %s netns %d", w.RouterInterface, w.HostInterface, w.Host.Pid())
	if _, err := w.Router.runIn(ctx, unix.CLONE_NEWNET, "", "ip", strings.Fields(pair)...); err != nil {
		return err
	}
	return errors.Join(w.Up(ctx), w.Router.forward())
}

// forward makes a router of the host, one that never leaves a refused packet unanswered.
func (h *Host) forward() error {
	return errors.Join(
		h.Sysctl("net.ipv4.ip_forward", "1"),
		h.Sysctl("net.ipv4.icmp_ratelimit", "0"),
		h.Sysctl("net.ipv6.conf.all.forwarding", "1"),
		h.Sysctl("net.ipv6.icmp.ratelimit", "0"),
	)
}

// addressRouter gives the router's end its address in the network of addr.
func (w *Link) addressRouter(ctx context.Context, addr string) error {
	prefix, err := netip.ParsePrefix(addr)
	if err != nil {
		return err
	}
	address := fmt.Sprintf("address add %s/%d dev %s nodad\n", gateway(prefix), prefix.Bits(), w.RouterInterface)
	_, err = w.Router.run(ctx, address, "ip", "-batch", "-")
	return err
}

// addressHost gives the host's end its address, and a default route with a metric that leaves room for better ones.
func (w *Link) addressHost(ctx context.Context, addr string) error {
	prefix, err := netip.ParsePrefix(addr)
	if err != nil {
		return err
	}
	address := fmt.Sprintf("address add %s dev %s nodad\nroute add default via %s dev %s metric %d\n",
		prefix, w.HostInterface, gateway(prefix), w.HostInterface, 100*w.Host.links)
	_, err = w.Host.run(ctx, address, "ip", "-batch", "-")
	return err
}

// gateway is the router's address in a network: the first one.
func gateway(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// Up mends the wire.
func (w *Link) Up(ctx context.Context) error {
	_, err := w.Router.Run(ctx, "ip", "link", "set", w.RouterInterface, "up")
	return err
}

// Down cuts the wire at the router: the host loses its carrier, others hear from the router that there is no route.
func (w *Link) Down(ctx context.Context) error {
	_, err := w.Router.Run(ctx, "ip", "link", "set", w.RouterInterface, "down")
	return err
}

// SetMTU sets the largest packet the wire takes, at both ends.
func (w *Link) SetMTU(ctx context.Context, mtu int) error {
	_, errRouter := w.Router.Run(ctx, "ip", "link", "set", w.RouterInterface, "mtu", fmt.Sprint(mtu))
	_, errHost := w.Host.Run(ctx, "ip", "link", "set", w.HostInterface, "mtu", fmt.Sprint(mtu))
	return errors.Join(errRouter, errHost)
}

// Listening returns nil when something accepts TCP connections on the port, over either family. It sends nothing.
func (h *Host) Listening(port uint16) error {
	if h.listening("tcp", port) == nil {
		return nil
	}
	return h.listening("tcp6", port)
}

// listening is [Host.Listening] for one table of /proc/net: tcp or tcp6.
func (h *Host) listening(table string, port uint16) error {
	data, err := h.ReadFile("/proc/1/net/" + table)
	if err != nil || listens(string(data), port) {
		return err
	}
	return fmt.Errorf("nothing on %s listens on port %d/%s", h.Name, port, table)
}

// listens reads a table such as "0: 0100007F:0019 00000000:0000 0A ...": local and remote address, and 0A for listen.
func listens(table string, port uint16) bool {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			return true
		}
	}
	return false
}
