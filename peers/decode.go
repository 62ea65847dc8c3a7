package peers

import (
	"fmt"
	"net/netip"
	"strconv"
)

// MaxFileSize is how large a peers file may be, in bytes.
const MaxFileSize = 16 << 20

// Env is what decoding needs of the system.
type Env struct {
	Hostname func() (string, error)            // the host's fully qualified name, for host.name's default
	ReadKey  func(path string) ([]byte, error) // the content of a key file; its errors quote none of it
	Local    func() ([]netip.Addr, error)      // the addresses that this host has, which no peer can; nil: not known
	Blocks   *Blocks                           // of the file as it was before; nil: it is not kept
}

// Decode returns what the peers file data says; name is the file's, for errors.
// An error joins everything that is wrong, in line order: see [Problems].
func Decode(name string, data []byte, env Env) (*Config, error) {
	d := &decoder{
		file:  name,
		env:   env,
		names: map[string]owner{},
		keys:  map[PublicKey]owner{},
		addrs: map[netip.Addr]owner{},
		hosts: map[string]owner{},
	}
	d.learnLocal()
	var c *Config
	if root, ok := d.parse(data); ok {
		c = d.config(root)
	}
	if err := join(d.problems); err != nil {
		return nil, err
	}
	return c, nil
}

// learnLocal notes the addresses that the host has. Where they cannot be had,
// only those that the file declares are known to be the host's.
func (d *decoder) learnLocal() {
	if d.env.Local == nil {
		return
	}
	addrs, err := d.env.Local()
	if err != nil {
		return
	}
	d.local = make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		d.local[a.Unmap()] = true
	}
}

// A decoder gathers the problems of one file.
type decoder struct {
	file     string
	env      Env
	lines    func() lines // made when one is asked for: of a good file nobody does
	problems []Problem

	// What has been given so far, and by whom: each may be given once.
	names map[string]owner // in lower case
	keys  map[PublicKey]owner
	addrs map[netip.Addr]owner
	hosts map[string]owner // names in addresses, in lower case

	local map[netip.Addr]bool // addresses that the host has
}

// An owner is a table that gave something, and where it did.
type owner struct {
	table string // path
	where string
	at    place
}

// A place is where in the file something stands: a table's key, or an element of
// the array that is its value.
type place struct {
	table   string // path
	key     string // empty: the table itself
	element int    // index plus one; zero: none
}

// line returns the line of a place, or of the nearest thing around it.
func (d *decoder) line(p place) int {
	path := p.table
	if p.key != "" {
		path = under(path, p.key)
	}
	if p.element > 0 {
		path = under(path, strconv.Itoa(p.element-1))
	}
	return d.lines().of(path)
}

// config decodes the top level.
func (d *decoder) config(root map[string]any) *Config {
	t := table{d: d, values: root}
	t.known(rootKeys)
	host, policy := d.host(t.table("host"))
	c := &Config{Host: host}
	for _, peer := range t.peers() {
		c.Peers = append(c.Peers, d.peer(peer, host, policy))
	}
	return c
}

// problem notes that something is wrong.
func (d *decoder) problem(line int, where, key, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, line, where, key, fmt.Sprintf(format, args...)})
}

// peers returns the tables of [[peer]].
func (t table) peers() (all []table) {
	v, ok := t.values["peer"]
	if !ok {
		return nil
	}
	items, ok := tables(v)
	if !ok {
		t.problem("peer", "is %s: write [[peer]], in two brackets, before each peer", kind(v))
		return nil
	}
	for i, values := range items {
		path := under(under(t.path, "peer"), strconv.Itoa(i))
		all = append(all, table{d: t.d, path: path, where: peerName(values, i), values: values})
	}
	return all
}

// peerName returns how errors call the i-th peer.
func peerName(values map[string]any, i int) string {
	if name, ok := values["name"].(string); ok && name != "" {
		return "peer " + quote(name)
	}
	return fmt.Sprintf("peer %d", i+1)
}

// tables returns the tables of an array that has only such.
func tables(v any) (all []map[string]any, ok bool) {
	if all, ok = v.([]map[string]any); ok {
		return all, true
	}
	items, ok := v.([]any)
	for _, item := range items {
		values, isTable := item.(map[string]any)
		if ok = ok && isTable; ok {
			all = append(all, values)
		}
	}
	return all, ok
}
