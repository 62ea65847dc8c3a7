package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postroad/peers"
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
