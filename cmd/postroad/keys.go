package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postroad/peers"
)

// maxKeyInput bounds what is read for a key, in bytes.
const maxKeyInput = 4096

func genkeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "genkey",
		Short:   "Make a private key and print it",
		Long:    "Make a new private key and print it, in base64. It is this host's identity: keep it in a file of mode 0600.",
		Example: "  (umask 077; postroad genkey >private.key)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := peers.NewPrivateKey()
			if err != nil {
				return failed(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Reveal())
			return failed(err)
		},
	}
}

func pubkeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pubkey",
		Short:   "Read a private key and print its public key",
		Long:    "Read a private key from standard input and print its public key, which is what the peers need to know.",
		Example: "  sudo cat /etc/postroad/private.key | postroad pubkey",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxKeyInput))
			if err != nil {
				return failed(fmt.Errorf("reading the private key from standard input: %w", err))
			}
			k, err := peers.ParsePrivateKey(string(text))
			if err != nil {
				return misconfigured(errors.New("standard input is no private key, which is 44 characters of base64; `postroad genkey` makes one"))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Public())
			return failed(err)
		},
	}
}
