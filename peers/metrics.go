package peers

import (
	"errors"
	"fmt"
	"net/netip"
)

// metrics returns where metrics are to be read; zero: nowhere but at the control
// socket.
func (t table) metrics() (at netip.AddrPort) {
	t.text("metrics", "", `"127.0.0.1:9525"`, func(s string) (err error) {
		at, err = parseListen(s)
		return err
	})
	return at
}

// parseListen returns an address of this host to listen on. No name will do: the
// daemon must not wait for one to be resolved.
func parseListen(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, errors.New(`is empty: leave the key out for no metrics, or give "127.0.0.1:9525"`)
	}
	a, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf(`%s is not an IP address and a port: give "127.0.0.1:9525", or "[::1]:9525"`, quote(s))
	case a.Port() == 0:
		return netip.AddrPort{}, fmt.Errorf("%s has no valid port: give 1 to 65535 after the colon", quote(s))
	case a.Addr().Zone() != "", a.Addr().IsMulticast():
		return netip.AddrPort{}, fmt.Errorf("%s is no address to listen on: give one of this host, without zone", quote(s))
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}
