package main

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
)

func TestCertificate(t *testing.T) {
	c, err := newCertificate("mx.bravo.example")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(c.pem, c.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Leaf.VerifyHostname("mx.bravo.example"); err != nil {
		t.Error(err)
	}
	want := fmt.Sprintf("%X", sha256.Sum256(pair.Leaf.Raw))
	if got := strings.ReplaceAll(c.fingerprint, ":", ""); got != want || strings.Count(c.fingerprint, ":") != 31 {
		t.Errorf("the fingerprint is %s, want %s", c.fingerprint, want)
	}
}
