package linux

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// The last attribute need not be padded, and one that says to be longer than there
// is makes no sense.
func TestAttribute(t *testing.T) {
	for name, tt := range map[string]struct {
		data, want []byte
		fails      bool
	}{
		"not padded":     {data: []byte{5, 0, 1, 0, 'x'}, want: []byte("x")},
		"padded":         {data: []byte{5, 0, 1, 0, 'x', 0, 0, 0}, want: []byte("x")},
		"another before": {data: []byte{4, 0, 2, 0, 5, 0, 1, 0x80, 'x'}, want: []byte("x")},
		"the first":      {data: []byte{5, 0, 1, 0, 'x', 0, 0, 0, 5, 0, 1, 0, 'y'}, want: []byte("x")},
		"empty":          {data: []byte{4, 0, 1, 0}, want: []byte{}},
		"none":           {data: []byte{4, 0, 2, 0}},
		"cut":            {data: []byte{6, 0, 1, 0, 'x'}, fails: true},
		"too short":      {data: []byte{3, 0, 1, 0, 'x'}, fails: true},
	} {
		got, err := attribute(tt.data, 1)
		if string(got) != string(tt.want) || (got == nil) != (tt.want == nil) || (err != nil) != tt.fails {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_DELRULE}, Data: append(make([]byte, unix.SizeofRtMsg), 5, 0, 15, 0, 1)}
	if oursOnRoute(m, 0) || attr32(m.Data, unix.SizeofRtMsg, unix.FRA_TABLE, nil) == tunnel.Table {
		t.Error("a table of one byte is ours")
	}
}
