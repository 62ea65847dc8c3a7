package main

import (
	"slices"

	"github.com/spf13/cobra"

	"postroad/peers"
)

// completePeers completes the names of peers that the peers file has and that
// are not given yet: for a command's ValidArgsFunction. A file that is not sound
// there are none, and nothing is said: somebody is typing.
func completePeers(o *options) cobra.CompletionFunc {
	return func(_ *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names := slices.DeleteFunc(peers.NamesIn(o.file), func(name string) bool { return slices.Contains(given, name) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeWords has a flag's value completed with one of the words.
func completeWords(cmd *cobra.Command, flag string, words []string) {
	must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}

// completeFile has a flag's value completed with files of the endings; none: any.
func completeFile(cmd *cobra.Command, flag string, endings ...string) {
	must(cmd.MarkPersistentFlagFilename(flag, endings...))
}

// must is for what can only fail by a mistake in this program.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
