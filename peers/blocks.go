package peers

import (
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"golang.org/x/sync/errgroup"
)

const (
	blockHeader = "\n[[peer]]"
	manyBytes   = 32 << 10 // of a file that is worth being taken to pieces
)

// Blocks keeps what the blocks of a peers file say, for those that its next version
// has, too: of many peers few change. The zero value has none.
type Blocks struct {
	mu   sync.Mutex
	seen map[string]map[string]any // a peer's table, by its block
}

// parse returns the tables of a TOML text that consists of blocks: one for the
// beginning and one for each peer, from its header on. If ok is false it does not,
// or not all is well: somebody else has to say what is wrong. A text that is cut
// where a line begins with that header says what its pieces say together, if each
// is TOML by itself, for then it was not cut within a value, and if none has another
// table, which may be given once in all.
func (b *Blocks) parse(text string) (root map[string]any, ok bool) {
	pieces := strings.Split("\n"+text, blockHeader)
	if root, ok = parsePiece(pieces[0]); !ok || root["peer"] != nil || len(pieces) == 1 {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]map[string]any, len(pieces)-1)
	var halves errgroup.Group
	for half := range 2 {
		halves.Go(func() error {
			for i := half; i < len(all); i += 2 {
				if all[i] = b.seen[pieces[i+1]]; all[i] == nil {
					all[i] = parseBlock(pieces[i+1])
				}
			}
			return nil
		})
	}
	_ = halves.Wait()
	seen := make(map[string]map[string]any, len(all))
	for i, values := range all {
		if values == nil {
			return nil, false
		}
		seen[pieces[i+1]] = values
	}
	b.seen, root["peer"] = seen, all
	return root, true
}

// parseBlock returns the one table of a block without its header; nil: there is
// more or less.
func parseBlock(block string) map[string]any {
	root, ok := parsePiece(blockHeader + block)
	peers, _ := root["peer"].([]map[string]any)
	if !ok || len(root) != 1 || len(peers) != 1 {
		return nil
	}
	return peers[0]
}

// parsePiece parses what ended before a newline.
func parsePiece(text string) (root map[string]any, ok bool) {
	if tooDeep(text) > 0 {
		return nil, false
	}
	root = map[string]any{}
	return root, toml.Unmarshal([]byte(text+"\n"), &root) == nil
}
