package builtin

import _ "embed"

// NamePrefix begins the names under which the modules are registered, as in
// builtin/redact. Their manifests have the name without it.
const NamePrefix = "builtin/"

var (
	//go:embed filter.wasm
	filter string
	//go:embed redact.wasm
	redact string
)

// A Module is one plugin that comes with the broker.
type Module struct {
	Name  string // as in its manifest
	Bytes []byte // the WebAssembly module
}

// Modules returns every built-in plugin, sorted by name. The bytes are copies
// that belong to the caller.
func Modules() []Module {
	return []Module{
		{Name: "filter", Bytes: []byte(filter)},
		{Name: "redact", Bytes: []byte(redact)},
	}
}
