package peers

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// A credential counts only where the file itself cannot be had.
func TestCredentialForKeyFile(t *testing.T) {
	missing := t.TempDir() + "/private.key"
	for _, tt := range []struct {
		name, path, credential string
		want                   string // content; or
		wantErr                string // a path that the error names
	}{
		{"of systemd 252", missing, write(t, "private.key", "from the credential", 0o400), "from the credential", ""},
		{"of systemd 257, with an access list", missing, write(t, "private.key", "from the credential", 0o440), "from the credential", ""},
		{"beside the file", write(t, "private.key", "from the file", 0o600), write(t, "private.key", "no", 0o400), "from the file", ""},
		{"beside an open file", write(t, "open.key", "from the file", 0o644), write(t, "private.key", "no", 0o400), "", "open.key"},
		{"empty, as the unit passes it where there is no file", missing, write(t, "private.key", "\n", 0o400), "", missing},
		{"not there", missing, t.TempDir() + "/private.key", "", missing},
		{"none", missing, "", "", missing},
		{"too large", missing, write(t, "large.key", strings.Repeat("k", maxKeyFile+1), 0o400), "", "large.key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := readKeyOr(tt.path, tt.credential)
			if string(data) != tt.want || (err == nil) != (tt.wantErr == "") {
				t.Errorf("got %q, %v", data, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%v does not name %s", err, tt.wantErr)
			}
			if tt.wantErr == missing && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is not that there is no file", err)
			}
		})
	}
}

// Only the default key file has a credential, and only if there are any.
func TestCredentialOfDefaultKeyFileAlone(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/postroad.service")
	if got := credential(DefaultKeyFile); got != "/run/credentials/postroad.service/private.key" {
		t.Errorf("got %q", got)
	}
	if got := credential("/etc/other/private.key"); got != "" {
		t.Errorf("another file has %q", got)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if got := credential(DefaultKeyFile); got != "" {
		t.Errorf("without credentials there is %q", got)
	}
}
