package main

import (
	"context"
	"fmt"

	"postroad/scripts/lab"
)

// openvpn is OpenVPN between two hosts that know each other's certificate, with its default sizes and its daemon carrying
// the packets.
func openvpn() contender {
	return contender{
		name:    "openvpn",
		version: says(2, "openvpn", "--version"),
		lacks:   need("openvpn"),
		up:      raiseOpenVPN,
	}
}

func raiseOpenVPN(ctx context.Context, s *stage) (daemons []*lab.Proc, err error) {
	var certs []*certificate
	for _, host := range s.Sites() {
		c, err := newCertificate(host.Name)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	for i, at := range s.sides() {
		role := "tls-server\ndh none"
		if at.first {
			role = "tls-client"
		}
		conf := fmt.Sprintf(`dev tun0
proto udp4
local %s
remote %s
port 1194
%s
cert /etc/bench/cert
key /etc/bench/key
peer-fingerprint %s
data-ciphers AES-256-GCM
disable-dco
allow-recursive-routing
`, at.own.IPv4, at.peer.IPv4, role, certs[1-i].fingerprint)
		err := write(at.own, "/etc/bench/conf", conf, "/etc/bench/cert", string(certs[i].pem), "/etc/bench/key", string(certs[i].key))
		if err != nil {
			return nil, err
		}
		p, err := tunnel(ctx, at.own, "tun0", "openvpn", "--config", "/etc/bench/conf")
		if err != nil {
			return nil, err
		}
		daemons = append(daemons, p)
	}
	return daemons, s.steer(ctx, "tun0")
}
