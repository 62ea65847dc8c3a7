package metrics

import "github.com/prometheus/client_golang/prometheus"

// all are the descriptions of everything that a look can yield.
var all []*prometheus.Desc

// desc describes a metric. Its name and unit follow
// https://prometheus.io/docs/practices/naming/; labels are of bounded number: peers
// of the file, and words of ours.
func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("postroad_"+name, help, labels, nil)
	all = append(all, d)
	return d
}

var (
	up = desc("up", "Whether the daemon could look at the kernel, without which there are no metrics of peers.")

	fileInForce = desc("peers_file_in_force", "Whether the peers file on disk was in force when it was last read.")
	fileLoaded  = desc("peers_file_loaded_timestamp_seconds", "When the peers file in force was read.")
	linkInfo    = desc("link_info", "The WireGuard interface and what carries its packets. Always 1.", "link", "backend")

	passes       = desc("passes_total", "Comparisons of what the kernel has with what the peers file asks for.")
	failedPasses = desc("failed_passes_total", "Passes that could not see or do all they had to.")
	passSeconds  = desc("pass_seconds_total", "Time spent in passes.")
	lastPass     = desc("last_pass_timestamp_seconds", "When the last pass ended. Absent before the first one.")
	changes      = desc("changes_total", "Steps towards something new: at the start, after a reload, or as an address changed.", "kind")
	repairs      = desc("repairs_total", "Steps that put back what somebody else took away or changed.", "kind")
	problem      = desc("problem", "Whether something fails: the last pass, remembering what to close at the next start or who has answered, or answering at the address for metrics.", "problem")

	peerInfo      = desc("peer_info", "A peer and its policy. Always 1.", "peer", "policy")
	peerState     = desc("peer_state", "Whether a peer is in a state: 1 for one of them, 0 for the others.", "peer", "state")
	peerSince     = desc("peer_state_since_timestamp_seconds", "Since when the peer is in its state.", "peer")
	peerHandshake = desc("peer_last_handshake_timestamp_seconds", "When the peer last answered. Absent if it never has.", "peer")
	peerReceived  = desc("peer_received_bytes_total", "Bytes received from the peer through the tunnel, as WireGuard counts them.", "peer")
	peerSent      = desc("peer_sent_bytes_total", "Bytes sent to the peer through the tunnel, as WireGuard counts them.", "peer")
	peerRefused   = desc("peer_refused_packets_total", "Packets of SMTP in clear that were refused.", "peer", "direction")
	peerSMTP      = desc("peer_smtp_connections", "SMTP connections with the peer now. Absent where they could not be counted.", "peer")
	peerResolved  = desc("peer_endpoint_resolved", "Whether an address is known at which the peer's tunnel is reached.", "peer")
	peerByPolicy  = desc("peer_clear_by_policy", "Whether SMTP with the peer flows in clear now because its policy says so.", "peer")
	peerClear     = desc("peer_clear_seconds_total", "Time in which SMTP with the peer could flow in clear, by policy or not.", "peer")
	peerMTU       = desc("peer_mtu_bytes", "The largest packet in the tunnel to the peer, IP header included. Absent where there is no way to it.", "peer")
	peerMeasured  = desc("peer_mtu_measured_timestamp_seconds", "When a packet of that size was last seen to get through. Absent if none was.", "peer")
	peerRemarks   = desc("peer_dns_remarks", "What is odd about the names of a peer, by kind: of address-excess, mail goes in clear to an address that DNS gives.", "peer", "kind")
	peerAddresses = desc("peer_addresses", "Mail addresses of the peer.", "peer")

	domainOpen    = desc("domain_unprotected_mx", "MX hosts of a peer's domain that are no peer: mail for the domain can go there in clear.", "domain")
	domainFirst   = desc("domain_unprotected_first", "Whether no protected MX host of the domain is preferred to one of those: mail for it normally goes in clear.", "domain")
	domainFailing = desc("domain_lookup_failing", "Whether DNS does not say where mail for the domain goes; what was known is kept.", "domain")
	domainLooked  = desc("domain_looked_up_timestamp_seconds", "When DNS last said where mail for the domain goes. Absent if it never has.", "domain")
)
