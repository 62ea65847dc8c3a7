package main

import (
	"context"
	"fmt"
	"path/filepath"

	"postroad/scripts/lab"
)

// nebula is nebula with its defaults: a network of its own, over which each host reaches the other's mail address.
func nebula(tools string) contender {
	program := filepath.Join(tools, "nebula")
	return contender{
		name:    "nebula",
		version: func() string { return "nebula " + builtFrom(program) },
		lacks:   need(program, program+"-cert"),
		up: func(ctx context.Context, s *stage) ([]*lab.Proc, error) {
			return raiseNebula(ctx, s, program)
		},
	}
}

func raiseNebula(ctx context.Context, s *stage, program string) (daemons []*lab.Proc, err error) {
	if err := nebulaCertificates(ctx, s, program+"-cert"); err != nil {
		return nil, err
	}
	inner := map[*lab.Site]string{s.Alpha: "10.77.0.1", s.Bravo: "10.77.0.2"}
	for _, at := range s.sides() {
		conf := fmt.Sprintf(`pki: {ca: /etc/nebula/ca.crt, cert: /etc/nebula/own.crt, key: /etc/nebula/own.key}
static_host_map: {"%[1]s": ["%[2]s:4242"]}
lighthouse: {am_lighthouse: false}
listen: {host: 0.0.0.0, port: 4242}
tun: {dev: nebula0, unsafe_routes: [{route: %[2]s/32, via: %[1]s, install: false}]}
logging: {level: error}
firewall:
  default_local_cidr_any: true
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: any, host: any}]
`, inner[at.peer], at.peer.IPv4)
		if err := write(at.own, "/etc/nebula/conf.yml", conf); err != nil {
			return nil, err
		}
		p, err := tunnel(ctx, at.own, "nebula0", program, "-config", "/etc/nebula/conf.yml")
		if err != nil {
			return nil, err
		}
		daemons = append(daemons, p)
	}
	return daemons, s.steer(ctx, "nebula0")
}

// nebulaCertificates makes a certificate for each host, which has its mail address in it, and puts it there.
func nebulaCertificates(ctx context.Context, s *stage, program string) error {
	const make = `cd /etc/nebula && %[1]s ca -name bench &&
		%[1]s sign -name alpha -networks 10.77.0.1/24 -unsafe-networks %[2]s/32 &&
		%[1]s sign -name bravo -networks 10.77.0.2/24 -unsafe-networks %[3]s/32`
	if err := write(s.Alpha, "/etc/nebula/conf.yml", ""); err != nil {
		return err
	}
	if _, err := s.Alpha.Run(ctx, "sh", "-c", fmt.Sprintf(make, program, s.Alpha.IPv4, s.Bravo.IPv4)); err != nil {
		return err
	}
	files := map[string][]string{"ca.crt": {"ca.crt", "ca.crt"}, "own.crt": {"alpha.crt", "bravo.crt"}, "own.key": {"alpha.key", "bravo.key"}}
	for name, from := range files {
		for i, host := range s.Sites() {
			data, err := s.Alpha.ReadFile("/etc/nebula/" + from[i])
			if err == nil {
				err = write(host, "/etc/nebula/"+name, string(data))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
