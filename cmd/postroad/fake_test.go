package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"postroad/tunnel"
	"postroad/tunnel/control"
)

// A canned daemon says what is in a file, which a test may change.
type canned struct{ file string }

func (c canned) Status(context.Context) (s tunnel.Status, err error) {
	text, err := os.ReadFile(c.file)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}
func (c canned) Reload(context.Context) error { return errors.New("canned") }
func (c canned) Down(context.Context) error   { return errors.New("canned") }

// fakeDaemon is a program for scripts: fakedaemon SOCKET STATUS.JSON
func fakeDaemon() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	s, err := control.Listen(os.Args[1])
	if err == nil {
		err = s.Serve(ctx, canned{os.Args[2]}, http.NotFoundHandler())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// await waits until a file is there: await FILE
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await file")
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not appear", args[0])
}
