package main

import (
	"context"
	"fmt"
	"time"

	"postroad/scripts/lab"
)

// The contenders that take TCP connections on alpha and make others on bravo.

// ssh is a client that forwards ports (ssh -L).
func ssh() contender {
	return contender{
		name:    "ssh",
		local:   true,
		version: says(1, "ssh", "-V"),
		lacks:   need("ssh", "sshd", "ssh-keygen"),
		up:      raiseSSH,
	}
}

func raiseSSH(ctx context.Context, s *stage) ([]*lab.Proc, error) {
	for _, host := range s.Sites() {
		if _, err := host.Run(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/key"); err != nil {
			return nil, err
		}
	}
	public, err := s.Alpha.ReadFile("/root/key.pub")
	if err == nil {
		err = write(s.Bravo, "/root/clients", string(public), "/root/conf", `ListenAddress 0.0.0.0:22
HostKey /root/key
AuthorizedKeysFile /root/clients
UsePAM no
PidFile none
`)
	}
	if err == nil { // a root whose password is locked may not come in
		_, err = s.Bravo.Run(ctx, "sh", "-c", "sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow && mkdir -p -m 755 /run/sshd")
	}
	if err != nil {
		return nil, err
	}
	server, err := s.Bravo.Host.Start("sshd", "-D", "-e", "-f", "/root/conf")
	if err == nil {
		err = server.Until(ctx, 5*time.Second, "sshd", func() error { return s.Bravo.Listening(22) })
	}
	if err != nil {
		return nil, err
	}
	args := []string{"-N", "-F", "none", "-i", "/root/key", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"}
	for _, port := range ports {
		args = append(args, "-L", fmt.Sprintf("127.0.0.1:%d:127.0.0.1:%[1]d", port))
	}
	client, err := s.Alpha.Host.Start("ssh", append(args, "root@"+s.Bravo.IPv4.String())...)
	return []*lab.Proc{client, server}, err
}

// stunnel is a TLS connection, of version 1.3, for each TCP connection.
func stunnel() contender {
	return contender{
		name:    "stunnel",
		local:   true,
		version: says(2, "sh", "-c", "stunnel -version 2>&1 | grep '^stunnel'"),
		lacks:   need("stunnel"),
		up:      raiseStunnel,
	}
}

func raiseStunnel(ctx context.Context, s *stage) (daemons []*lab.Proc, err error) {
	cert, err := newCertificate(s.Bravo.Name)
	if err != nil {
		return nil, err
	}
	for _, at := range s.sides() {
		conf := "foreground = yes\npid =\ndebug = err\nsslVersion = TLSv1.3\n"
		if at.first {
			conf += "client = yes\nverifyPeer = yes\nCAfile = /root/cert\n"
		} else {
			conf += "cert = /root/cert\nkey = /root/key\n"
		}
		for _, port := range ports {
			inside, outside := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("%s:%d", s.Bravo.IPv4, 10000+port)
			if at.first {
				conf += fmt.Sprintf("[port%d]\naccept = %s\nconnect = %s\n", port, inside, outside)
			} else {
				conf += fmt.Sprintf("[port%d]\naccept = %s\nconnect = %s\n", port, outside, inside)
			}
		}
		if err := write(at.own, "/root/conf", conf, "/root/cert", string(cert.pem)); err != nil {
			return nil, err
		}
		if !at.first {
			if err := write(at.own, "/root/key", string(cert.key)); err != nil {
				return nil, err
			}
		}
		p, err := at.own.Host.Start("stunnel", "/root/conf")
		if err != nil {
			return nil, err
		}
		daemons = append(daemons, p)
	}
	return daemons, nil
}
