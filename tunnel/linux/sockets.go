package linux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Connections implements tunnel.System. The sockets are those of the network
// namespace: connections of a container's mail server are the container's.
func (k *Kernel) Connections(_ context.Context, ports []uint16) (map[netip.Addr]int, error) {
	count := map[netip.Addr]int{}
	for _, family := range families {
		all, err := retry(func() ([]connection, error) { return established(uint8(family)) })
		if errors.Is(err, unix.ENOENT) {
			err = errors.New("the kernel has no tcp_diag (CONFIG_INET_TCP_DIAG)")
		}
		if err != nil {
			return nil, fmt.Errorf("listing TCP connections: %w", err)
		}
		for _, c := range all {
			if slices.Contains(ports, c.localPort) || slices.Contains(ports, c.remotePort) {
				count[c.remote]++
			}
		}
	}
	return count, nil
}

// A connection is what we read of a TCP socket.
type connection struct {
	localPort, remotePort uint16
	remote                netip.Addr
}

// established lists the TCP connections of a family.
func established(family uint8) (all []connection, err error) {
	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	req.AddData(diagRequest{family})
	err = req.ExecuteIter(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY, func(msg []byte) bool {
		if c, ok := parseDiag(msg); ok {
			all = append(all, c)
		}
		return true
	})
	return all, err
}

// A diagRequest is struct inet_diag_req_v2 of linux/inet_diag.h, asking for
// established connections only: the library's asks for all sockets, of which a
// mail host has thousands in TIME_WAIT.
type diagRequest struct{ family uint8 }

func (d diagRequest) Len() int { return 56 }

func (d diagRequest) Serialize() []byte {
	b := make([]byte, d.Len())
	b[0], b[1] = d.family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], 1<<unix.BPF_TCP_ESTABLISHED)
	return b
}

// parseDiag reads struct inet_diag_msg of linux/inet_diag.h.
func parseDiag(msg []byte) (c connection, ok bool) {
	if len(msg) < 72 {
		return c, false
	}
	c.localPort, c.remotePort = binary.BigEndian.Uint16(msg[4:]), binary.BigEndian.Uint16(msg[6:])
	if msg[0] == unix.AF_INET {
		c.remote = netip.AddrFrom4([4]byte(msg[24:28]))
	} else {
		c.remote = netip.AddrFrom16([16]byte(msg[24:40])).Unmap()
	}
	return c, true
}
