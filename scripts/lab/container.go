package lab

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ContainerPackages are the Debian packages that [Host.Publish] needs, each with what it is needed for.
var ContainerPackages = map[string][]string{
	"iptables": {"iptables-restore", "ip6tables-restore"},
	"netavark": {netavark},
}

// netavark is podman's network stack: it does what `podman run --publish` does to a network.
const netavark = "/usr/lib/podman/netavark"

// An Engine is whose container networking a host uses.
type Engine string

// Podman is the real thing; Docker loads the rules that dockerd makes with userland-proxy off.
const (
	Podman Engine = "podman"
	Docker Engine = "docker"
)

// Where a container is, the same with both engines.
const (
	ContainerIPv4 = "172.17.0.2"
	ContainerIPv6 = "fd00:17::2"
)

// Publish connects another host to this one as a container of it, with ports of this host published as others of the
// container. Whatever name and files the container has, it is a host of the lab like any other.
func (h *Host) Publish(ctx context.Context, e Engine, container *Host, ports map[uint16]uint16) error {
	publish := h.publishDocker
	if e == Podman {
		publish = h.publishPodman
	}
	if err := errors.Join(h.forward(), publish(ctx, container, ports)); err != nil {
		return fmt.Errorf("publishing %s on %s with %s: %w", container.Name, h.Name, e, err)
	}
	return nil
}

// publishPodman runs netavark in the host's network, and leaves nothing elsewhere.
func (h *Host) publishPodman(ctx context.Context, container *Host, ports map[uint16]uint16) error {
	dir, err := os.MkdirTemp("", "netavark")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	const net = "podman"
	id := strings.Repeat("c", 64)
	var mappings []any
	for _, host := range slices.Sorted(maps.Keys(ports)) {
		mappings = append(mappings, map[string]any{"host_ip": "", "protocol": "tcp", "range": 1,
			"host_port": host, "container_port": ports[host]})
	}
	setup, err := json.Marshal(map[string]any{
		"container_id": id, "container_name": "mta", "port_mappings": mappings,
		"networks": map[string]any{net: map[string]any{
			"interface_name": "eth0", "static_ips": []string{ContainerIPv4, ContainerIPv6}}},
		"network_info": map[string]any{net: map[string]any{
			"name": net, "id": id, "driver": "bridge", "network_interface": "podman0", "ipv6_enabled": true,
			"internal": false, "dns_enabled": false, "ipam_options": map[string]any{"driver": "host-local"},
			"subnets": []any{
				map[string]any{"subnet": "172.17.0.0/16", "gateway": "172.17.0.1"},
				map[string]any{"subnet": "fd00:17::/64", "gateway": "fd00:17::1"},
			}}},
	})
	if err != nil {
		return err
	}
	_, err = h.runIn(ctx, unix.CLONE_NEWNET, string(setup), netavark, "--config", dir, "setup", fmt.Sprintf("/proc/%d/ns/net", container.Pid()))
	return err
}

//go:embed docker.rules
var dockerRules string

// publishDocker does by hand what dockerd does.
func (h *Host) publishDocker(ctx context.Context, container *Host, ports map[uint16]uint16) error {
	pair := fmt.Sprintf("link add veth%d type veth peer name eth0 netns %d", h.links, container.Pid())
	if _, err := h.runIn(ctx, unix.CLONE_NEWNET, "", "ip", strings.Fields(pair)...); err != nil {
		return err
	}
	host := fmt.Sprintf("link add docker0 type bridge\nlink set docker0 up\nlink set veth%d master docker0 up\n"+
		"address add 172.17.0.1/16 dev docker0\naddress add fd00:17::1/64 dev docker0 nodad\n", h.links)
	inner := "link set eth0 up\naddress add " + ContainerIPv4 + "/16 dev eth0\naddress add " + ContainerIPv6 + "/64 dev eth0 nodad\n" +
		"route add default via 172.17.0.1\nroute add default via fd00:17::1\n"
	for on, batch := range map[*Host]string{h: host, container: inner} {
		if _, err := on.run(ctx, batch, "ip", "-batch", "-"); err != nil {
			return err
		}
	}
	for program, words := range map[string][]string{
		"iptables-restore":  {"@NET@", "172.17.0.0/16", "@ADDR@", ContainerIPv4, "@TO@", ContainerIPv4, "@LOOPBACK@", "127.0.0.0/8"},
		"ip6tables-restore": {"@NET@", "fd00:17::/64", "@ADDR@", ContainerIPv6, "@TO@", "[" + ContainerIPv6 + "]", "@LOOPBACK@", "::1/128"},
	} {
		if _, err := h.run(ctx, strings.NewReplacer(words...).Replace(dockerTables(ports)), program); err != nil {
			return err
		}
	}
	return nil
}

// dockerTables repeats the lines for one port for each.
func dockerTables(ports map[uint16]uint16) string {
	var all strings.Builder
	for line := range strings.Lines(dockerRules) {
		if !strings.Contains(line, "PORT@") { // @PORT@ or @INPORT@
			all.WriteString(line)
			continue
		}
		for _, host := range slices.Sorted(maps.Keys(ports)) {
			all.WriteString(strings.NewReplacer("@PORT@", fmt.Sprint(host), "@INPORT@", fmt.Sprint(ports[host])).Replace(line))
		}
	}
	return all.String()
}
