package peers

import _ "embed"

// Reference is a peers file with every setting and what it means. The lines
// that begin with # and no space are settings: those of [host] are the defaults,
// or examples where it says so, and the peer is an example.
//
//go:embed reference.toml
var Reference string
