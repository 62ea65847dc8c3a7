package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"postroad/peers"
	"postroad/tunnel/control"
	"postroad/tunnel/linux"
)

// options are the flags that all commands share.
type options struct {
	file      string
	socket    string
	selectors string // file
}

func rootCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:           "postroad",
		Short:         "An encrypted road between mail hosts",
		Long:          "postroad carries all SMTP between this mail host and the peers listed in a file\nthrough WireGuard, or not at all. The mail server is not touched, and does not know.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.New("which command? `postroad --help` lists them")
		},
	}
	root.PersistentFlags().StringVarP(&o.file, "config", "c", peers.DefaultFile, "the peers `file`")
	root.PersistentFlags().StringVar(&o.socket, "socket", control.DefaultSocket, "the daemon's control `socket`")
	root.PersistentFlags().StringVar(&o.selectors, "selectors", peers.DefaultSelectorsFile,
		"the `file` in which the daemon remembers what it protects")
	root.AddCommand(runCommand(o), checkCommand(o), planCommand(o), statusCommand(o), reloadCommand(o), downCommand(o), doctorCommand(o),
		metricsCommand(o), genkeyCommand(), pubkeyCommand(), versionCommand())
	return root
}

// load reads the peers file; what is wrong with it is the user's to mend.
func (o *options) load() (*peers.Config, error) {
	c, err := peers.Load(o.file)
	return c, misconfigured(err)
}

// needPrivilege says in one line what a user without the right lacks.
func needPrivilege(what string) error {
	if linux.Privileged() {
		return nil
	}
	return failed(fmt.Errorf("%s needs root (or the capability CAP_NET_ADMIN); try sudo", what))
}
