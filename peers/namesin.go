package peers

import (
	"github.com/BurntSushi/toml"
)

// NamesIn returns the names of the peers in a file, in its order, whatever else
// of it is wrong: for completing what somebody types. A file that cannot be read
// or is no TOML has none.
func NamesIn(path string) (names []string) {
	data, err := readPeersFile(path)
	if err != nil || len(data) > MaxFileSize {
		return nil
	}
	if tooDeep(string(data)) > 0 {
		return nil
	}
	var file struct{ Peer []struct{ Name any } }
	if toml.Unmarshal(data, &file) != nil {
		return nil
	}
	for _, p := range file.Peer {
		if name, ok := p.Name.(string); ok && checkHostName(name) == nil {
			names = append(names, name)
		}
	}
	return names
}
