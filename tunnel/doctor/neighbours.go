package doctor

import "fmt"

var neighbourChecks = []Check{
	{"networkd", "systemd-networkd leaves our rules and routes alone.", networkd},
	{"networkmanager", "NetworkManager leaves the link alone.", networkManager},
	{"flushing", "No firewall of this host takes the guard along when it reloads.", flushing},
	{"policy-routing", "No other policy routing comes before ours.", policyRouting},
}

func networkd(e *Evidence) []Finding {
	if !e.Host.Networkd {
		return nil
	}
	return found(Warning, 65, "systemd-networkd runs and takes away rules and routes that are not its own when it configures a link anew",
		"put ManageForeignRoutingPolicyRules=no and ManageForeignRoutes=no under [Network] into /etc/systemd/networkd.conf.d/50-postroad.conf, then `systemctl restart systemd-networkd`")
}

func networkManager(e *Evidence) []Finding {
	if !e.Host.NetManager {
		return nil
	}
	return found(Warning, 64, "NetworkManager runs and is not told to leave the link alone",
		"put unmanaged-devices+=interface-name:postroad* under [keyfile] into /etc/NetworkManager/conf.d/postroad.conf, then `nmcli general reload`")
}

func flushing(e *Evidence) (all []Finding) {
	for _, f := range e.Host.Firewalls {
		if f.Flushes {
			all = append(all, found(Note, 20, f.Name+" flushes everybody's tables when it reloads: the guard is gone until the daemon puts it back, and the routes hold meanwhile",
				"nothing has to be done; to avoid it, have /etc/nftables.conf flush its own tables only")...)
		}
	}
	return all
}

func policyRouting(e *Evidence) (all []Finding) {
	for i := range e.Peers {
		p := &e.Peers[i]
		for _, proof := range p.Proofs {
			if proof.Routed || proof.Via == "" || lack(e.Want.Rules, e.Have.Rules) > 0 || e.Have.Link.Name == "" {
				continue
			}
			way := proof.Via + " instead of into the tunnel: another rule comes before ours (`ip rule`)"
			if p := e.Have.Past[proof.Addr]; p != "" {
				way = p
			}
			f := found(Problem, 93, fmt.Sprintf("SMTP with %s is routed %s", proof.Addr, way),
				"give that rule a priority above 2599, or have it leave the peers' addresses out")
			f[0].Peer = p.Name
			all = append(all, f...)
		}
	}
	return all
}
