package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postroad/scripts/lab"
)

// postroad is the daemon with real peers files. The command is a file's name, after variables for its environment if need be.
func postroad(name, backend, command string) contender {
	words := strings.Fields(command)
	binary := words[len(words)-1]
	return contender{
		name: name,
		version: func() string {
			return strings.Join(append(words[:len(words)-1:len(words)-1], says(2, binary, "version")()), " ")
		},
		lacks: need(binary),
		up: func(ctx context.Context, s *stage) ([]*lab.Proc, error) {
			return raisePostroad(ctx, s, backend, binary, words[:len(words)-1])
		},
	}
}

func raisePostroad(ctx context.Context, s *stage, backend, binary string, env []string) (daemons []*lab.Proc, err error) {
	alpha, bravo, err := install(ctx, s, binary)
	if err != nil {
		return nil, err
	}
	host := fmt.Sprintf("[host]\nbackend = %q\n", backend)
	err = errors.Join(alpha.Write(host, bravo.BlockOf(s.Bravo.IPv4)), bravo.Write(host, alpha.BlockOf(s.Alpha.IPv4)))
	for _, p := range []*lab.Postroad{alpha, bravo} {
		if err == nil {
			err = start(ctx, p, env)
			daemons = append(daemons, p.Proc)
		}
	}
	if err != nil {
		return nil, err
	}
	return daemons, errors.Join(settled(ctx, alpha, s.Bravo.Name), settled(ctx, bravo, s.Alpha.Name))
}

// install puts postroad on both hosts, under its own name whatever the file is called.
func install(ctx context.Context, s *stage, binary string) (alpha, bravo *lab.Postroad, err error) {
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	link := filepath.Join(dir, "postroad")
	if err := os.Symlink(binary, link); err != nil {
		return nil, nil, err
	}
	alpha, errAlpha := s.Alpha.Postroad(ctx, link)
	bravo, errBravo := s.Bravo.Postroad(ctx, link)
	return alpha, bravo, errors.Join(errAlpha, errBravo)
}

// start starts the daemon with more in its environment, and waits until it is ready.
func start(ctx context.Context, p *lab.Postroad, env []string) (err error) {
	if p.Proc, err = p.Site.Host.Start("env", append(env, "postroad", "run")...); err != nil {
		return err
	}
	return p.Until(ctx, 10*time.Second, "postroad on "+p.Site.Name, func() error {
		if !strings.Contains(p.Output(), "ready:") {
			return errors.New("it is not ready")
		}
		return nil
	})
}

// settled waits until the tunnel to a peer answers and the size of its packets has been found out.
func settled(ctx context.Context, p *lab.Postroad, peer string) error {
	if err := p.WaitState(ctx, peer, "protected"); err != nil {
		return err
	}
	return p.Until(ctx, 10*time.Second, "the path to be measured", func() error {
		s, err := p.Peer(ctx, peer)
		if err == nil && s.MTUMeasured.IsZero() {
			err = errors.New("it is not")
		}
		return err
	})
}
