package linux

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/userspace"
)

// probeLink is the name of a link that is made to see whether it can be.
const probeLink = "postroad-probe"

var errNoWireGuard = errors.New("the kernel has no WireGuard: use Linux 5.6 or newer with its module (`modprobe wireguard`, " +
	`CONFIG_WIREGUARD), or set host.backend to "userspace"`)

// Missing says what the host lacks for what a peers file asks for, and how to get
// it; nil: nothing. It tries instead of guessing from versions, and leaves nothing
// behind.
func Missing(c *peers.Config) error {
	return errors.Join(missingTables(), missingNAT(), missingRules(), missingBackend(c.Host.Backend), missingRoom(c))
}

// Passing says whether an error may be gone at the next try, unlike a lack.
func Passing(err error) bool {
	for _, passing := range []error{unix.ENOMEM, unix.ENOBUFS, unix.EMFILE, unix.ENFILE, unix.EINTR, unix.EAGAIN, unix.EIO, netlink.ErrDumpInterrupted} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

func missingTables() error {
	_, err := new(nftables.Conn).ListTablesOfFamily(guardTable.Family)
	if err != nil {
		return fmt.Errorf("the kernel has no nf_tables (%w): use one with its module (`modprobe nf_tables`, CONFIG_NF_TABLES)", err)
	}
	return nil
}

// missingNAT makes a chain and takes it away, in one batch that leaves nothing.
func missingNAT() error {
	if missingTables() != nil { // and so said
		return nil
	}
	c := new(nftables.Conn)
	table := c.AddTable(&nftables.Table{Family: guardTable.Family, Name: probeLink})
	chain := c.AddChain(&nftables.Chain{Table: table, Name: chainFrom, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(v4(), translate(expr.NATTypeSourceNAT, tunnel.LinkAddress.Addr())...)})
	c.DelTable(table)
	if err := c.Flush(); err != nil && !Passing(err) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("the kernel cannot translate addresses of both families in one nft table (%w): use Linux 5.2 or newer with "+
			"its modules (`modprobe nft_chain_nat nft_nat`, CONFIG_NFT_NAT)", err)
	}
	return nil
}

func missingRules() error {
	_, err := retry(func() ([]netlink.Rule, error) { return netlink.RuleList(netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("the kernel has no policy routing (%w): use one with CONFIG_IP_MULTIPLE_TABLES", err)
	}
	return nil
}

func missingBackend(b peers.Backend) error {
	switch b {
	case peers.Kernel:
		return missingWireGuard()
	case peers.Userspace:
		return userspace.Missing()
	}
	noTUN := userspace.Missing()
	if noTUN == nil || missingWireGuard() == nil {
		return nil
	}
	return fmt.Errorf("the host has neither the kernel's WireGuard (`modprobe wireguard`) nor a TUN device: %w", noTUN)
}

// missingRoom says that there are more peers than WireGuard within this process
// takes, if it would be that.
func missingRoom(c *peers.Config) error {
	n := len(c.Peers)
	if n <= userspace.MaxPeers || c.Host.Backend == peers.Kernel || c.Host.Backend == peers.Auto && missingWireGuard() == nil {
		return nil
	}
	return fmt.Errorf("there are %d peers, and WireGuard within this process takes %d: use a kernel that has it (`modprobe wireguard`), with host.backend = %q",
		n, userspace.MaxPeers, peers.Kernel)
}

// missingWireGuard makes a link and removes it, unless ours is there to show
// that it can be. One that stays because we die has our group, and goes with the
// next link that is made.
func missingWireGuard() error {
	ours, err := kernelLinks()
	if err != nil || len(ours) > 0 {
		return err
	}
	if err := createKernels(probeLink); err != nil {
		return err
	}
	link, err := netlink.LinkByName(probeLink)
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}
