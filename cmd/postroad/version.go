package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the build of a release.
var release = "development"

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version, and the commit where the build knows it.",
		Example: "  postroad version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "postroad", version())
			return failed(err)
		},
	}
}

// version returns the release, and with it the commit where the build knows it.
func version() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return release
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return release + " " + s.Value[:12]
		}
	}
	return release
}
