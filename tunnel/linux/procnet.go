package linux

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A socket is a line of /proc/net/tcp and its like, see proc(5).
type socket struct {
	local, remote netip.AddrPort // IPv4-mapped addresses as IPv4
	inode         string
}

// sockets reads those of a table in /proc/net, such as "udp" or "tcp6". A table
// that is not there has none.
func sockets(table string) (all []socket) {
	f, err := os.Open("/proc/net/" + table)
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseSockets(f)
}

func parseSockets(r io.Reader) (all []socket) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		local, err := procAddr(fields[1])
		if err != nil {
			continue // the heading
		}
		remote, _ := procAddr(fields[2])
		all = append(all, socket{local, remote, fields[9]})
	}
	return all
}

// procAddr reads "0100007F:0019": the address is words in the host's byte order.
func procAddr(s string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(address)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port", s)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// udpOwner names the program that has a UDP port; empty: none, the kernel, or
// not known.
func udpOwner(port uint16) string {
	for _, s := range append(sockets("udp"), sockets("udp6")...) {
		if s.local.Port() == port && s.inode != "0" {
			return ownerOf(s.inode)
		}
	}
	return ""
}

// ownerOf looks for the process that holds a socket.
func ownerOf(inode string) string {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == "socket:["+inode+"]" {
			pid := strings.Split(l, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return "another program"
}

// smtpEnds returns our ends of TCP connections on one of the ports with one of
// the addresses, also of those that are being made.
func smtpEnds(ports map[uint16]bool, remotes map[netip.Addr]bool) (all []netip.AddrPort) {
	for _, s := range append(sockets("tcp"), sockets("tcp6")...) {
		if remotes[s.remote.Addr()] && (ports[s.local.Port()] || ports[s.remote.Port()]) {
			all = append(all, s.local)
		}
	}
	return all
}
