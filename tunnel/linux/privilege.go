package linux

import "golang.org/x/sys/unix"

// Privileged says whether the process may change the network: whether it has
// CAP_NET_ADMIN in its user namespace, see capabilities(7).
func Privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
