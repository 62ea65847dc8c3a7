package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"postroad/peers"
	"postroad/tunnel/control"
)

// show says what the file says of this host, and what DNS has against it.
func (o *options) show(ctx context.Context, out io.Writer, c *peers.Config) {
	addrs, err := addressesOf(c.Host)
	row(out, "name", "%s", c.Host.Name)
	row(out, "addresses", "%s", joined(addrs))
	row(out, "domains", "%s", joined(c.Host.Domains))
	row(out, "public key", "%s", c.Host.PrivateKey.Public())
	row(out, "peers", "%d", len(c.Peers))
	for _, note := range notes(ctx, c.Host.Name, addrs) {
		row(out, "note", "%s", note)
	}
	if err != nil {
		row(out, "note", "%v", err)
	}
}

// oddities says what looks wrong about this host without asking anybody.
func oddities(name string, addrs []netip.Addr) (all []string) {
	if !strings.Contains(name, ".") {
		all = append(all, fmt.Sprintf("%s is no full host name: peers would not find it; set name in [host]", name))
	}
	if p := private(addrs); len(p) > 0 {
		all = append(all, fmt.Sprintf("peers must be able to reach %s: that is private", joined(p)))
	}
	return all
}

// notes says what looks wrong about this host.
func notes(ctx context.Context, name string, addrs []netip.Addr) []string {
	all := oddities(name, addrs)
	known, ok := inDNS(ctx, name)
	if ok && len(known) == 0 {
		all = append(all, fmt.Sprintf("DNS knows no address of %s", name))
	}
	for _, a := range known {
		if !slices.Contains(addrs, a) {
			all = append(all, fmt.Sprintf("DNS says that %s is %s too, which is not among the addresses here: mail to it would go in clear", name, a))
		}
	}
	return all
}

func newOrKept(made bool) string {
	if made {
		return "new"
	}
	return "was there, and stays as it is"
}

// withSudo says what may help a user who is not root.
func withSudo(err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("%w: this needs root; try sudo", err)
	}
	return err
}

// nextSteps says what is left to do.
func (o *options) nextSteps(ctx context.Context, out io.Writer, c *peers.Config) {
	steps := []string{fmt.Sprintf("open UDP port %d in the firewall: postroad doctor says how", c.Host.ListenPort)}
	if _, err := (control.Client{Socket: o.socket}).Status(ctx); errors.Is(err, control.ErrNotRunning) {
		steps = append(steps, "start the daemon: "+howToStart())
	}
	steps = append(steps,
		"postroad card                send what it prints to the other operator",
		"postroad peer add --apply    paste the card that you get",
		"postroad status              is mail between you protected?")
	fmt.Fprintln(out, "\nNext:")
	for i, step := range steps {
		fmt.Fprintf(out, "  %d. %s\n", i+1, step)
	}
}

// howToStart says how the daemon is started here.
func howToStart() string {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return "systemctl enable --now postroad"
	}
	return "postroad run, as root, from your init"
}
