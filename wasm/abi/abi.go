package abi

import (
	"errors"

	"github.com/varvelog/varve/internal/record"
)

// Names of what a module exports, imports and carries.
const (
	ExportMemory     = "memory"
	ExportVersion    = "varve_abi_1"
	ExportAlloc      = "varve_alloc"
	ExportConfigure  = "varve_configure"
	ExportInitialize = "_initialize"

	// VersionPrefix begins the version export of any version of this contract,
	// so that a module of another version is told from one that is no plugin.
	VersionPrefix = "varve_abi_"

	// ReservedPrefix begins names that belong to the rewriter.
	ReservedPrefix = "__varve_"

	ImportVarve = "varve"
	ImportWASI  = "wasi_snapshot_preview1"

	// ManifestSection is the custom section that holds the manifest.
	ManifestSection = "varve.plugin"
)

// Limits of the contract.
const (
	// MaxRunRecords and MaxRunBytes bound a run, except that one record that is
	// larger than MaxRunBytes is a run of its own.
	MaxRunRecords = 1024
	MaxRunBytes   = 256 << 10

	// MaxFrameBytes is the largest frame that can be built at all.
	MaxFrameBytes = 1 << 30

	// MaxMessageBytes of a reject or dead-letter verdict's message are kept.
	MaxMessageBytes = 1024

	// MaxManifestBytes bounds the manifest section.
	MaxManifestBytes = 64 << 10

	// MaxLogLineBytes and MaxLogLines bound what a plugin logs in one call.
	MaxLogLineBytes = 1024
	MaxLogLines     = 16

	// MaxTraps is how many traps a batch may have before the rest of it fails
	// without being run.
	MaxTraps = 8
)

// Code says why a record failed. 0 to 999 are the plugin's own.
type Code uint16

// Codes of the broker.
const (
	CodeTrapped     Code = 1000
	CodeOutOfFuel   Code = 1001
	CodeGarbage     Code = 1002
	CodeTooLarge    Code = 1003
	CodeOutOfMemory Code = 1004

	// MaxPluginCode is the largest code that a plugin may answer.
	MaxPluginCode Code = 999
)

// Parts is a set of parts of a record.
type Parts uint8

// The parts of a record.
const (
	PartKey       Parts = 1
	PartValue     Parts = 2
	PartHeaders   Parts = 4
	PartTimestamp Parts = 8

	AllParts = PartKey | PartValue | PartHeaders | PartTimestamp
)

// Has says whether all of q are in p.
func (p Parts) Has(q Parts) bool { return p&q == q }

// Hook is a place in the produce path where a plugin is called.
type Hook uint8

// The hooks of this version.
const (
	HookTransform Hook = iota
	HookValidate
	hookCount
)

var hookNames = [hookCount]string{HookTransform: "transform", HookValidate: "validate"}

// ParseHook returns the hook that a manifest calls name.
func ParseHook(name string) (Hook, bool) {
	for h, n := range hookNames {
		if n == name {
			return Hook(h), true
		}
	}
	return 0, false
}

// String returns the hook's name in manifests.
func (h Hook) String() string {
	if h >= hookCount {
		return "unknown"
	}
	return hookNames[h]
}

// Export returns the name of the function that a module exports for the hook.
func (h Hook) Export() string { return "varve_" + h.String() }

// Known says whether h is a hook of this version.
func (h Hook) Known() bool { return h < hookCount }

// Hooks returns every hook of this version.
func Hooks() []Hook { return []Hook{HookTransform, HookValidate} }

// Header is one header of a record. Names may repeat; a nil value is null.
type Header = record.RecordHeader

// Record is what a plugin may see of a record.
type Record struct {
	Index     uint32 // in the batch
	Timestamp int64  // ms
	Key       []byte // nil is null, as for Value
	Value     []byte
	Headers   []Header
}

// Context is what a plugin may know about the batch besides its records, and
// all that its virtual clock and randomness are made from.
type Context struct {
	Topic      string
	Partition  int32
	AppendTime int64  // ms since 1970, the leader's clock, taken once per batch
	Seed       uint64 // random, one per batch
	Generation uint64 // of the topic's chain
}

// Errors of the package, wrapped with what was wrong.
var (
	// ErrFull says that a frame has no room for the record: finish it and begin
	// the next run.
	ErrFull = errors.New("run is full")
	// ErrTooLarge says that no frame can hold the record.
	ErrTooLarge = errors.New("record too large for a frame")
	// ErrGarbage says that a plugin's answer does not decode.
	ErrGarbage = errors.New("garbage verdicts")
	// ErrManifest says that a manifest is not acceptable.
	ErrManifest = errors.New("invalid manifest")
)
