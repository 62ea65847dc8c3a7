package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postroad/peers"
	"postroad/tunnel/control"
)

// A wish is what the user says of this host.
type wish struct {
	name      string
	addresses []string
	domains   []string
}

func initCommand(o *options) *cobra.Command {
	var w wish
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Set this host up: key and peers file",
		Long: "Make this host's key and its peers file, with the name, the mail addresses and the domains that are found\n" +
			"out, and show them. What is there already is left as it is. The addresses are those that this host\n" +
			"speaks to the world from; where a router translates them (1:1 NAT), give those that the world sees.",
		Example: "  postroad init\n" +
			"  postroad init --name mx1.example.org --address 198.51.100.7 --address 2001:db8:a::7 --domain example.org",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), dnsPatience)
			defer cancel()
			c, err := o.setUp(ctx, cmd.OutOrStdout(), w)
			if err != nil {
				return err
			}
			o.nextSteps(cmd.Context(), cmd.OutOrStdout(), c)
			return nil
		},
	}
	cmd.Flags().StringVar(&w.name, "name", "", "this host's `name` (default: the system's)")
	cmd.Flags().StringArrayVar(&w.addresses, "address", nil, "a mail `address` of this host; once for each (default: those found)")
	cmd.Flags().StringArrayVar(&w.domains, "domain", nil, "a `domain` whose mail this host takes; once for each (default: those found)")
	return cmd
}

// setUp makes what is missing, and says what there is.
func (o *options) setUp(ctx context.Context, out io.Writer, w wish) (*peers.Config, error) {
	want, err := w.host()
	if err != nil {
		return nil, misconfigured(err)
	}
	made := false
	data, err := os.ReadFile(o.file)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		data, err = o.newFile(ctx, want)
	}
	if err != nil {
		return nil, failed(withSudo(err))
	}
	keyFile, err := peers.KeyFileOf(o.file, data)
	if err != nil {
		return nil, misconfigured(err)
	}
	newKey, err := makeKey(keyFile)
	if err == nil && made {
		err = failed(withSudo(peers.CreateFile(o.file, data, 0o644)))
	}
	if err != nil {
		return nil, err
	}
	c, err := peers.LoadHere(o.file)
	if err != nil {
		return nil, misconfigured(err)
	}
	row(out, "key", "%s, %s", keyFile, newOrKept(newKey))
	row(out, "peers file", "%s, %s", o.file, newOrKept(made))
	o.show(ctx, out, c)
	return c, differs(o.file, want, c.Host)
}

// makeKey makes the key if there is none. A broken one is the user's to mend.
func makeKey(path string) (made bool, err error) {
	_, made, err = peers.MakeKeyFile(path)
	if _, statErr := os.Lstat(path); err != nil && statErr == nil && !errors.Is(err, fs.ErrPermission) {
		return false, misconfigured(err)
	}
	return made, failed(withSudo(err))
}

// host returns the settings that the user gives.
func (w wish) host() (h peers.Host, err error) {
	h.Name = w.name
	for _, s := range w.addresses {
		a, parseErr := peers.ParseAddress(s)
		h.Addresses, err = append(h.Addresses, a), errors.Join(err, parseErr)
	}
	for _, s := range w.domains {
		domain, parseErr := peers.ParseDomain(s)
		h.Domains, err = append(h.Domains, domain), errors.Join(err, parseErr)
	}
	return h, err
}

// newFile returns the peers file of a host that has none.
func (o *options) newFile(ctx context.Context, h peers.Host) (data []byte, err error) {
	if h.Name == "" {
		if h.Name, err = peers.System().Hostname(); err != nil {
			return nil, fmt.Errorf("finding out this host's name: %w: give it with --name", err)
		}
	}
	if len(h.Addresses) == 0 {
		if h.Addresses, err = o.findAddresses(ctx, h.Name); err != nil {
			return nil, err
		}
	}
	if len(h.Domains) == 0 {
		h.Domains = domainsOf(ctx, h.Name, h.Addresses)
	}
	keyFile := peers.DefaultKeyFile
	if o.file != peers.DefaultFile {
		dir, err := filepath.Abs(filepath.Dir(o.file))
		if err != nil {
			return nil, err
		}
		keyFile = filepath.Join(dir, filepath.Base(keyFile))
	}
	return []byte(peers.HostFile(h, keyFile)), nil
}

// findAddresses returns this host's, unless those that it has can hardly be
// those that the world knows.
func (o *options) findAddresses(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := addressesOf(peers.Host{Link: peers.DefaultLink})
	if err != nil {
		return nil, fmt.Errorf("finding out this host's addresses: %w; or give them with --address", err)
	}
	known, _ := inDNS(ctx, name)
	elsewhere := !slices.ContainsFunc(known, func(a netip.Addr) bool { return slices.Contains(addrs, a) })
	if len(known) > 0 && elsewhere && len(private(addrs)) == len(addrs) {
		return nil, fmt.Errorf("this host has %s, and DNS says that %s is %s: if a router translates between them (1:1 NAT), run this again with%s; if not, with%s",
			joined(addrs), name, joined(known), flags(known), flags(addrs))
	}
	return addrs, nil
}

func flags(addrs []netip.Addr) (s string) {
	for _, a := range addrs {
		s += " --address " + a.String()
	}
	return s
}

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

// notes says what looks odd about this host.
func notes(ctx context.Context, name string, addrs []netip.Addr) (all []string) {
	if !strings.Contains(name, ".") {
		all = append(all, fmt.Sprintf("%s is no full host name: peers would not find it; set name in [host]", name))
	}
	if p := private(addrs); len(p) > 0 {
		all = append(all, fmt.Sprintf("peers must be able to reach %s: that is private", joined(p)))
	}
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

// differs says where a file that was left alone does not have what the user gives.
func differs(file string, want, have peers.Host) error {
	var keys []string
	for _, d := range []struct {
		key  string
		same bool
	}{
		{"name", want.Name == "" || want.Name == have.Name},
		{"addresses", len(want.Addresses) == 0 || slices.Equal(want.Addresses, have.Addresses)},
		{"domains", len(want.Domains) == 0 || slices.Equal(want.Domains, have.Domains)},
	} {
		if !d.same {
			keys = append(keys, d.key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return failed(fmt.Errorf("%s was there, is left as it is, and has not the %s that you give: change that in its [host]", file, strings.Join(keys, " and ")))
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
	steps := []string{fmt.Sprintf("open UDP port %d in the firewall", c.Host.ListenPort)}
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
