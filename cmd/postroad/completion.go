package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// shells are those that completions can be made for.
var shells = []string{"bash", "zsh", "fish"}

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion {bash|zsh|fish}",
		Short: "Print the completions for a shell",
		Long: "Print what makes a shell complete postroad's commands, flags, files and the names of peers. Packages and\n" +
			"scripts/install put it in place for all users; bash needs the package bash-completion.",
		Example: "  source <(postroad completion bash)\n" +
			"  source <(postroad completion zsh)\n" +
			"  postroad completion fish | source",
		Args:      oneOf("shell", shells),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			return failed(printCompletion(cmd.Root(), args[0], cmd.OutOrStdout()))
		},
	}
}

func printCompletion(root *cobra.Command, shell string, w io.Writer) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	}
	return fmt.Errorf("no completions for %s", shell)
}
