package main

import (
	"os/exec"
	"strings"
	"testing"
)

// mayImport says which of our packages each may use: data flows one way.
var mayImport = map[string][]string{
	"postroad/cmd/postroad": {"postroad/cmd/postroad/show", "postroad/cmd/postroad/top", "postroad/peers", "postroad/peers/lookup", "postroad/tunnel",
		"postroad/tunnel/control", "postroad/tunnel/doctor", "postroad/tunnel/linux", "postroad/tunnel/metrics"},
	"postroad/cmd/postroad/show":  {"postroad/tunnel"},
	"postroad/cmd/postroad/top":   {"postroad/cmd/postroad/show", "postroad/peers", "postroad/tunnel"},
	"postroad/peers":              {},
	"postroad/peers/lookup":       {"postroad/peers"},
	"postroad/tunnel":             {"postroad/peers"},
	"postroad/tunnel/control":     {"postroad/tunnel"},
	"postroad/tunnel/doctor":      {"postroad/peers", "postroad/tunnel"},
	"postroad/tunnel/linux":       {"postroad/peers", "postroad/tunnel", "postroad/tunnel/doctor", "postroad/tunnel/userspace"},
	"postroad/tunnel/metrics":     {"postroad/peers", "postroad/tunnel"},
	"postroad/tunnel/userspace":   {},
	"postroad/scripts/lab":        {},
	"postroad/scripts/lab/demo":   {"postroad/scripts/lab"},
	"postroad/scripts/lab/chaos":  {"postroad/scripts/lab"},
	"postroad/scripts/lab/scale":  {"postroad/scripts/lab"},
	"postroad/scripts/benchmark":  {"postroad/scripts/lab"},
	"postroad/scripts/e2e":        {},
	"postroad/scripts/packaging":  {},
	"postroad/scripts/monitoring": {},
}

// system lists what only tunnel/linux and tunnel/userspace may use.
var system = []string{"github.com/vishvananda/netlink", "github.com/google/nftables", "golang.zx2c4.com/wireguard"}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "postroad/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.TrimSpace(string(out))) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("%s is new: say here what it may import", pkg)
		}
		for imp := range strings.FieldsSeq(imports) {
			if strings.HasPrefix(imp, "postroad/") && !has(allowed, imp) {
				t.Errorf("%s must not import %s", pkg, imp)
			}
			for _, s := range system {
				if strings.HasPrefix(imp, s) && pkg != "postroad/tunnel/linux" && pkg != "postroad/tunnel/userspace" {
					t.Errorf("%s must not touch the system through %s", pkg, imp)
				}
			}
		}
	}
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
