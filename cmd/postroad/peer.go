package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postroad/tunnel/control"
)

func peerCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peer",
		Short: "Add, remove and list peers",
		Long: "Add, remove and list the peers in the peers file. It keeps its comments, order and formatting; what a\n" +
			"command changes takes effect with --apply, or at the next reload.",
		Example: "  postroad peer add --apply partner.card\n  postroad peer list\n  postroad peer remove --apply mx.partner.example",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.New("which one? postroad peer add, remove or list")
		},
	}
	cmd.AddCommand(peerAddCommand(o), peerRemoveCommand(o), peerListCommand(o))
	return cmd
}

// A change of the peers file and what becomes of it.
type change struct {
	apply, dryRun bool
}

func (ch *change) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&ch.apply, "apply", false, "put the peers file in force at once")
	cmd.Flags().BoolVar(&ch.dryRun, "dry-run", false, "show what would be changed, and change nothing")
	cmd.MarkFlagsMutuallyExclusive("apply", "dry-run")
}

// follow puts a changed file in force, or says how to.
func (ch *change) follow(ctx context.Context, cmd *cobra.Command, o *options) error {
	out := cmd.OutOrStdout()
	if !ch.apply {
		fmt.Fprintln(out, "Next, put it in force: postroad reload")
		return nil
	}
	err := (control.Client{Socket: o.socket}).Reload(ctx)
	switch {
	case err == nil:
		fmt.Fprintln(out, "the peers file is in force")
		return nil
	case errors.Is(err, control.ErrNotRunning):
		return failed(fmt.Errorf("%w, so nothing is in force; %s is changed: start the daemon: %s", err, o.file, howToStart()))
	}
	if refusal := refused(cmd.ErrOrStderr(), err); !isSaid(refusal) {
		return refusal
	}
	return failed(fmt.Errorf("the daemon refuses the peers file, and what was in force still is; %s keeps the change: mend it, then: postroad reload", o.file))
}

// isSaid says whether an error is printed already.
func isSaid(err error) bool {
	var e exitError
	return errors.As(err, &e) && e.err == nil
}

// showLines shows lines of the file, numbered.
func showLines(w io.Writer, sign string, lines []string, first int) {
	for i, line := range lines {
		fmt.Fprintf(w, "%5d %s %s\n", first+i, sign, line)
	}
}
