package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DNSPackages are the Debian packages that [Host.DNS] needs, as [Packages] are those of a lab.
var DNSPackages = map[string][]string{
	"knot": {"knotd", "knotc"},
}

// DNS is a running name server, the real Knot. It answers for its zones only, with authority, over UDP and TCP, and refuses
// everything else: enough for programs that ask for absolute names, as no name of a lab is outside its zones.
type DNS struct {
	host   *Host
	proc   *Proc
	serial int
	zones  map[string]string
}

const knotConf = `server:
    rundir: /run/knot
    listen: [ 0.0.0.0@53, ::@53 ]
control:
    listen: knot.sock
log:
  - target: stderr
    any: info
database:
    storage: /var/lib/knot
template:
  - id: default
    storage: /var/lib/knot
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
`

// DNS starts a name server on port 53 for zones: by name, such as "example" or "bravo.example", their records in the
// format of RFC 1035, 5.1, without the SOA and NS records of the zone itself, which are added. Names in them that do not end
// with a dot are below the zone; a record without a TTL has one of 300 s.
func (h *Host) DNS(ctx context.Context, zones map[string]string) (*DNS, error) {
	d := &DNS{host: h, zones: maps.Clone(zones)}
	return d, d.Start(ctx)
}

// Start starts the server again that was stopped or killed.
func (d *DNS) Start(ctx context.Context) error {
	if err := d.write(); err != nil {
		return err
	}
	var err error
	if d.proc, err = d.host.Start("knotd", "-c", "/etc/knot/lab.conf"); err != nil {
		return err
	}
	err = d.proc.Until(ctx, 10*time.Second, "the name server on "+d.host.Name, func() error { return d.served(ctx) })
	if err != nil {
		return fmt.Errorf("%w: %s", err, d.proc.Output())
	}
	return nil
}

// write writes the configuration and the zones, with one serial number for all that was never used before.
func (d *DNS) write() error {
	d.serial++
	conf := knotConf + "zone:\n"
	err := d.host.quiet(context.Background(), "mkdir", "-p", "/run/knot", "/var/lib/knot")
	for _, zone := range slices.Sorted(maps.Keys(d.zones)) {
		conf += "  - domain: " + zone + "\n"
		text := fmt.Sprintf("$ORIGIN %s.\n$TTL 300\n@ SOA ns.lab.invalid. root.lab.invalid. %d 3600 600 86400 1\n@ NS ns.lab.invalid.\n%s\n",
			zone, d.serial, d.zones[zone])
		err = errors.Join(err, d.host.WriteFile("/var/lib/knot/"+zone+".zone", []byte(text), 0o644))
	}
	return errors.Join(err, d.host.WriteFile("/etc/knot/lab.conf", []byte(conf), 0o644))
}

// served returns nil when the server answers with what was written last.
func (d *DNS) served(ctx context.Context) error {
	for zone := range d.zones {
		out, err := d.control(ctx, "zone-status", zone, "+serial")
		if err != nil {
			return err
		}
		if !slices.Contains(strings.Fields(out), strconv.Itoa(d.serial)) { // "[example.] serial: 2"
			return errors.New(out)
		}
	}
	return nil
}

func (d *DNS) control(ctx context.Context, args ...string) (string, error) {
	return d.host.Run(ctx, "knotc", append([]string{"-c", "/etc/knot/lab.conf"}, args...)...)
}

// SetZone replaces a zone's records, or adds a zone, and returns when that is what the server answers. Of a server that is
// stopped that is at its next start.
func (d *DNS) SetZone(ctx context.Context, zone, records string) error {
	d.zones[zone] = records
	if d.proc.alive() != nil {
		return nil
	}
	if err := d.write(); err != nil {
		return err
	}
	if _, err := d.control(ctx, "reload"); err != nil {
		return err
	}
	err := d.proc.Until(ctx, 10*time.Second, "zone "+zone+" to be served", func() error { return d.served(ctx) })
	if err != nil {
		return fmt.Errorf("%w: %s", err, d.proc.Output())
	}
	return nil
}

// Stop stops the server in an orderly way; who asks it then is told by the kernel that nobody is there.
func (d *DNS) Stop(ctx context.Context) error { return d.proc.Stop(ctx, unix.SIGTERM) }

// Log is what the server has said so far.
func (d *DNS) Log() string { return d.proc.Output() }

// Serve makes a name server of that address the only one of some hosts, and takes all names but localhost out of their
// /etc/hosts. A server that does not answer is given up after a second.
func (d *DNS) Serve(addr netip.Addr, hosts ...*Host) error {
	var errs []error
	for _, h := range hosts {
		resolv := fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:1\n", addr)
		errs = append(errs,
			h.WriteFile("/etc/resolv.conf", []byte(resolv), 0o644),
			h.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n::1 localhost ip6-localhost\n"), 0o644))
	}
	return errors.Join(errs...)
}
