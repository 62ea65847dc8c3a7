package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// nearness is how many letters a word may differ from one that is suggested.
const nearness = 2

// helpful has every command of the tree refuse words that it does not know in one
// line, which says what would be right.
func helpful(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(flagError)
	cmd.SuggestionsMinimumDistance = nearness
	if !cmd.Runnable() {
		cmd.Args, cmd.RunE = cobra.ArbitraryArgs, noCommand
	} else if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, given []string) error { return argsError(cmd, given, args(cmd, given)) }
	}
	for _, c := range cmd.Commands() {
		helpful(c)
	}
}

// noCommand is what a command that only has subcommands says.
func noCommand(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return fmt.Errorf("which command? `%s --help` lists them", cmd.CommandPath())
	}
	return fmt.Errorf("unknown command %q%s `%s --help` lists all", given[0], didYouMean(cmd.SuggestionsFor(given[0])), cmd.CommandPath())
}

// argsError says what is wrong with a command's arguments. Nil stays nil.
func argsError(cmd *cobra.Command, given []string, err error) error {
	switch {
	case err == nil:
		return nil
	case !strings.Contains(cmd.Use, " "):
		return fmt.Errorf("%s takes no arguments, and was given %q; `%s --help` shows its flags", cmd.CommandPath(), given[0], cmd.CommandPath())
	}
	return fmt.Errorf("%s: %w; usage: %s", cmd.CommandPath(), err, cmd.UseLine())
}

// flagError says what is wrong with a command's flags.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var unknown *pflag.NotExistError
	meant := ";"
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		meant = didYouMean(flagsLike(cmd, unknown.GetSpecifiedName()))
	}
	return fmt.Errorf("%w%s `%s --help` lists all", err, meant, cmd.CommandPath())
}

// flagsLike returns a command's flags whose names are near to one. How near is
// cobra's opinion, which it has of commands.
func flagsLike(cmd *cobra.Command, name string) (like []string) {
	flags := &cobra.Command{SuggestionsMinimumDistance: nearness}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	for _, s := range flags.SuggestionsFor(name) {
		like = append(like, "--"+s)
	}
	return like
}

// didYouMean asks for the words, if there are any.
func didYouMean(words []string) string {
	if len(words) == 0 {
		return ";"
	}
	return "; did you mean " + strings.Join(words, " or ") + "?"
}
