package main

import (
	"github.com/spf13/cobra"

	"postroad/tunnel/control"
)

func metricsCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "metrics",
		Short: "Print what the daemon tells Prometheus",
		Long: "Print what the daemon tells Prometheus, as text. Prometheus itself reads the same at /metrics of the address\n" +
			"that the peers file gives as metrics, in [host].",
		Example: "  postroad metrics | promtool check metrics\n" +
			"  postroad metrics >prom.new && mv prom.new postroad.prom   # for node_exporter's textfile collector",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := control.Client{Socket: o.socket}.Metrics(cmd.Context(), cmd.OutOrStdout())
			if err != nil {
				return refused(cmd.ErrOrStderr(), o.hint(err))
			}
			return nil
		},
	}
}
