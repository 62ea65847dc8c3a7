package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"postroad/peers"
	"postroad/tunnel/control"
	"postroad/tunnel/linux"
)

// options are the flags that all commands share.
type options struct {
	file      string
	socket    string
	selectors string       // file
	blocks    peers.Blocks // of the peers file
}

func rootCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "postroad",
		Short: "An encrypted road between mail hosts",
		Long: "postroad carries all SMTP between this mail host and the peers listed in a file\n" +
			"through WireGuard, or not at all. The mail server is not touched, and does not know.\n\n" +
			"The exit status is 0 if all went well, 1 if it failed, and 2 if the command line or the\n" +
			"peers file is broken.",
		Example: "  sudo postroad card               # what to send to the operator of another mail host\n" +
			"  sudo postroad peer add --apply   # then paste the card that came back\n" +
			"  sudo postroad status             # is mail protected?\n" +
			"  sudo postroad doctor             # if not: why, and what to do\n" +
			"  man postroad                     # all there is to know; man postroad.toml: of the peers file",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVarP(&o.file, "config", "c", peers.DefaultFile, "the peers `file`")
	root.PersistentFlags().StringVar(&o.socket, "socket", control.DefaultSocket, "the daemon's control `socket`")
	root.PersistentFlags().StringVar(&o.selectors, "selectors", peers.DefaultSelectorsFile,
		"the `file` in which the daemon remembers what it protects")
	completeFile(root, "config", "toml")
	completeFile(root, "socket")
	completeFile(root, "selectors")
	root.AddCommand(initCommand(o), cardCommand(o), peerCommand(o), fingerprintCommand(o))
	root.AddCommand(runCommand(o), checkCommand(o), planCommand(o), statusCommand(o), topCommand(o), reloadCommand(o), downCommand(o), doctorCommand(o),
		metricsCommand(o), genkeyCommand(), pubkeyCommand(), versionCommand(), completionCommand(), manCommand())
	root.SetHelpCommand(helpCommand())
	helpful(root)
	return root
}

// helpCommand is cobra's in words like ours.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]...",
		Short:   "Show the help of a command",
		Long:    "Show the help of a command: what it does, its flags, and examples. So does its flag --help.",
		Example: "  postroad help status",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noCommand(c, rest)
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// latches is the file in which the daemon remembers who has answered: it is
// beside that of the selectors.
func (o *options) latches() peers.LatchFile {
	return peers.LatchFile(filepath.Join(filepath.Dir(o.selectors), filepath.Base(peers.DefaultLatchFile)))
}

// open returns the peers of c whose SMTP flows in clear by policy, as far as it is
// remembered. Where that cannot be read it is none, as for the daemon.
func (o *options) open(c *peers.Config) map[peers.PublicKey]bool {
	latches, err := o.latches().Load()
	if err != nil {
		return nil
	}
	return c.Open(latches.Of(c))
}

// load reads the peers file; what is wrong with it is the user's to mend.
func (o *options) load() (*peers.Config, error) {
	c, err := peers.Load(o.file)
	if errors.Is(err, fs.ErrNotExist) && len(peers.Problems(err)) == 0 {
		err = fmt.Errorf("%w: `postroad init` makes one", err)
	}
	return c, misconfigured(err)
}

// needPrivilege says in one line what a user without the right lacks.
func needPrivilege(what string) error {
	if linux.Privileged() {
		return nil
	}
	return failed(fmt.Errorf("%s needs root, or the capability CAP_NET_ADMIN: try sudo %s", what, what))
}
