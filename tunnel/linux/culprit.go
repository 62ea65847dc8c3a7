package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// Who changed something of ours is told in the log, and counts for nothing else:
// every event wakes the loop, which looks for itself.

// maxPID is the kernel's PID_MAX_LIMIT. A netlink socket's port id is its
// process's pid if it can be; else the kernel takes one far above (netlink_autobind).
const maxPID = 1 << 22

// An informer says who made the change that a message tells of. Empty: it is not
// known, it is we, or nothing of ours changed.
type informer func(syscall.NetlinkMessage) string

// routeInformer returns an informer for rtnetlink(7). Link is the index of our
// link, at any time.
func routeInformer(link *atomic.Int64) informer {
	return func(m syscall.NetlinkMessage) string {
		if pid := m.Header.Pid; pid > 0 && pid <= maxPID && int(pid) != os.Getpid() && oursOnRoute(m, int(link.Load())) {
			return process(int(pid), comm(fmt.Sprint(pid)))
		}
		return ""
	}
}

// oursOnRoute says whether an rtnetlink message is about our rules, our table or
// an address of the link with the index.
func oursOnRoute(m syscall.NetlinkMessage, link int) bool {
	switch m.Header.Type {
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return attr32(m.Data, unix.SizeofRtMsg, unix.FRA_TABLE, binary.NativeEndian) == tunnel.Table
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return attr32(m.Data, unix.SizeofRtMsg, unix.RTA_TABLE, binary.NativeEndian) == tunnel.Table
	case unix.RTM_NEWADDR, unix.RTM_DELADDR: // ifaddrmsg; who changed a link itself is not told
		return link > 0 && len(m.Data) >= unix.SizeofIfAddrmsg && int(binary.NativeEndian.Uint32(m.Data[4:8])) == link
	}
	return false
}

// nftInformer returns an informer for the events of nf_tables: those of the
// objects changed, each with its table's name, and then the new generation's,
// with who made it (linux/netfilter/nf_tables.h).
func nftInformer() informer {
	ours := false // something of ours has changed since the last generation
	return func(m syscall.NetlinkMessage) string {
		if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < nl.SizeofNfgenmsg {
			return ""
		}
		if m.Header.Type&0xff != unix.NFT_MSG_NEWGEN {
			ours = ours || m.Data[0] == unix.NFPROTO_INET && text(attr(m.Data, nl.SizeofNfgenmsg, unix.NFTA_TABLE_NAME)) == tunnel.GuardTable
			return ""
		}
		was := ours
		ours = false
		pid := int(attr32(m.Data, nl.SizeofNfgenmsg, unix.NFTA_GEN_PROC_PID, binary.BigEndian))
		name := text(attr(m.Data, nl.SizeofNfgenmsg, unix.NFTA_GEN_PROC_NAME))
		if !was || pid == 0 || name == comm("self") { // the pid is a thread's
			return ""
		}
		return process(pid, name)
	}
}

// attr returns the value of an attribute behind a header of the size. Nil: there
// is none.
func attr(data []byte, header int, kind uint16) []byte {
	if len(data) < header {
		return nil
	}
	value, _ := attribute(data[header:], kind)
	return value
}

// attr32 is attr for a number; zero: there is none.
func attr32(data []byte, header int, kind uint16, order binary.ByteOrder) uint32 {
	if v := attr(data, header, kind); len(v) == 4 {
		return order.Uint32(v)
	}
	return 0
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// comm returns the name of a process, or "self", while it lives and may be seen.
func comm(pid string) string {
	name, _ := os.ReadFile("/proc/" + pid + "/comm")
	return strings.TrimSpace(string(name))
}

func process(pid int, name string) string {
	if name == "" {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("%s (pid %d)", name, pid)
}
