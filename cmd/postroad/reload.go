package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postroad/cmd/postroad/show"
	"postroad/tunnel/control"
)

func reloadCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon put the peers file in force",
		Long: "Have the daemon read the peers file again, and wait until it is in force: `systemctl reload postroad` is the\n" +
			"same. If anything is wrong with the file, that is said, nothing changes and the exit status is 2.",
		Example: "  sudo postroad check && sudo postroad reload",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := (control.Client{Socket: o.socket}).Reload(cmd.Context()); err != nil {
				return refused(cmd.ErrOrStderr(), o.hint(err))
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the peers file is in force")
			return nil
		},
	}
}

// hint adds to the error of asking the daemon, if none answers, what to do.
func (o *options) hint(err error) error {
	if errors.Is(err, control.ErrNotRunning) {
		return fmt.Errorf("%w: nothing answers at %s; start it: systemctl start postroad", err, o.socket)
	}
	return err
}

// refused prints what the daemon has against a request, line by line.
func refused(stderr io.Writer, err error) error {
	var r *control.RefusedError
	if !errors.As(err, &r) {
		return failed(err)
	}
	for _, line := range r.Errors {
		fmt.Fprintf(stderr, "postroad: %s\n", show.Clean(line))
	}
	if r.File {
		return exitError{code: exitUsage}
	}
	return exitError{code: exitFailed}
}
