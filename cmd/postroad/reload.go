package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postroad/tunnel/control"
)

func reloadCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon put the peers file in force",
		Long:  "Have the daemon put the peers file in force. If anything is wrong with it, nothing changes.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := (control.Client{Socket: o.socket}).Reload(cmd.Context()); err != nil {
				return refused(cmd.ErrOrStderr(), err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the peers file is in force")
			return nil
		},
	}
}

// refused prints what the daemon has against a request, line by line.
func refused(stderr io.Writer, err error) error {
	var r *control.RefusedError
	if !errors.As(err, &r) {
		return failed(err)
	}
	for _, line := range r.Errors {
		fmt.Fprintf(stderr, "postroad: %s\n", line)
	}
	if r.File {
		return exitError{code: exitUsage}
	}
	return exitError{code: exitFailed}
}
