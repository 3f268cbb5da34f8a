package lint

// module is this repository's module path.
const module = "github.com/varvelog/varve"

// layers says which top-level directories the Go files of a top-level directory
// may import. A directory may always import itself.
var layers = map[string][]string{
	"cmd":      {"broker", "tiering", "plugins", "wasm", "internal"},
	"broker":   {"tiering", "plugins", "wasm", "internal"},
	"tiering":  {"internal"},
	"plugins":  {"wasm", "internal"},
	"wasm":     {"internal"},
	"internal": {},
	"sdk":      {},

	"tests":      {"cmd", "broker", "tiering", "plugins", "wasm", "internal", "sdk", "benchmarks"},
	"benchmarks": {"cmd", "broker", "tiering", "plugins", "wasm", "internal", "sdk", "tests"},
}

// layerFree are directories that may import any layer, because they put the
// parts together in order to try them: code for tests only.
var layerFree = []string{"internal/sim"}

// A confinement keeps one dependency out of all but a few directories.
type confinement struct {
	name  string
	paths []string // import path prefixes
	in    []string // directories, with everything below them
	tests bool     // whether _test.go files everywhere, tests/ and benchmarks/ may import it too
}

var confined = []confinement{
	{
		name:  "kmsg",
		paths: []string{"github.com/twmb/franz-go/pkg/kmsg"},
		in:    []string{"broker/wire", "broker/kafka", "broker/group", "broker/txn", "broker/coordinator", "internal/sim"},
		tests: true,
	},
	{
		name:  "kerr",
		paths: []string{"github.com/twmb/franz-go/pkg/kerr"},
		in:    []string{"broker/kafka"},
		tests: true,
	},
	{
		name:  "etcd raft",
		paths: []string{"go.etcd.io/raft"},
		in:    []string{"broker/replog"},
	},
	{
		name:  "wazero",
		paths: []string{"github.com/tetratelabs/wazero"},
		in:    []string{"wasm"},
	},
	{
		name:  "gocloud and the AWS SDK",
		paths: []string{"gocloud.dev", "github.com/aws"},
		in:    []string{"tiering/objstore"},
	},
	{
		name: "OpenTelemetry's metrics and Prometheus",
		paths: []string{
			"go.opentelemetry.io/otel", "github.com/prometheus",
		},
		in: []string{"internal/metric"},
	},
	{
		name:  "goleak",
		paths: []string{"go.uber.org/goleak"},
		in:    []string{"internal/leak"},
	},
	{
		name:  "Badger",
		paths: []string{"github.com/dgraph-io/badger"},
		in:    []string{"tiering/remote"},
	},
}

// cores are the deterministic packages, each with everything below it. A single
// file may be named as well, where a planner shares a package with its shell.
var cores = []string{
	"broker/wal",
	"broker/replog",
	"broker/partition",
	"broker/storage",
	"broker/metadata",
	"broker/group",
	"broker/coordinator",
	"broker/txn",
}

// shells are the files inside cores that drive them and are therefore free of
// the core rules. Each carries the comment "//varve:shell <reason>" above its
// package clause, and each is named here, so that a new one is seen in review.
var shells = []string{"broker/coordinator/coordinator.go"}

// coreImports are packages that no core file imports, with what to do instead.
var coreImports = map[string]string{
	"os":           "go through internal/vfs",
	"os/exec":      "cores start no process",
	"os/signal":    "cores see events, not signals",
	"io/ioutil":    "go through internal/vfs",
	"syscall":      "go through internal/vfs",
	"net":          "messages are effects",
	"net/http":     "messages are effects",
	"math/rand":    "take the seed or the value as an argument",
	"math/rand/v2": "take the seed or the value as an argument",
	"crypto/rand":  "take the value as an argument",
	"hash/maphash": "its seed differs in every process",
	"time/tzdata":  "cores know no place",
}

// coreNames are identifiers of other packages that no core file uses.
var coreNames = map[string]map[string]string{
	"time": {
		"Now": timeIsArgument, "Since": timeIsArgument, "Until": timeIsArgument,
		"Local": "cores know no place",
		"After": timersAreEffects, "AfterFunc": timersAreEffects, "Sleep": timersAreEffects,
		"Tick": timersAreEffects, "NewTimer": timersAreEffects, "NewTicker": timersAreEffects,
		"Timer": timersAreEffects, "Ticker": timersAreEffects,
	},
	"context": {
		"WithTimeout": timersAreEffects, "WithTimeoutCause": timersAreEffects,
		"WithDeadline": timersAreEffects, "WithDeadlineCause": timersAreEffects,
		"AfterFunc": "cores start no goroutine",
	},
	"sync": {
		"Pool": "what it returns depends on the collector",
		"Map":  "a core has one owner and its order must not show",
	},
	"runtime": {
		"Goexit":  "a core returns",
		"Gosched": "a core does not schedule",
	},
	"log": {
		"Fatal": neverExits, "Fatalf": neverExits, "Fatalln": neverExits,
	},
}

const (
	timeIsArgument   = "time is an argument"
	timersAreEffects = "timers are effects"
	neverExits       = "a core never ends the process"
)

// logCalls are functions that write messages with attributes, with the number
// of arguments before the first attribute.
var logCalls = map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0, "line": 3, "debug": 1}

// logAttributes are names that attributes of log messages do not have, with the
// name that they have instead.
var logAttributes = map[string]string{
	"err": "error", "e": "error", "reason": "error", "cause": "error",
	"topic_name": "topic", "part": "partition", "partition_id": "partition", "tp": "topic",
	"group_id": "group", "client": "client_id", "clientid": "client_id", "addr": "remote",
	"duration": "duration_seconds", "wait": "wait_seconds", "elapsed": "duration_seconds", "seconds": "duration_seconds",
	"size": "bytes", "offset_base": "base_offset",
}

// Limits on length, in lines. Generated files are exempt from both, _test.go
// files from the limit on functions.
const (
	maxFileLines = 600
	maxFuncLines = 100
)

// documented are the directories in which every package has a package comment
// in doc.go; a main package may have it in any file.
var documented = []string{"cmd", "broker", "tiering", "plugins", "wasm", "internal"}

// unjudged are packages whose tests are not judged by what they leave, with the
// reason.
var unjudged = map[string]string{
	"internal/invariant": "package leak imports it; its tests start nothing and open nothing",
}

// foreignText are strings that belong to one machine or to one way of fetching
// packages, and so to no file of the repository. A row that starts with a slash
// matches only where an absolute path could start. The rows are put together
// from pieces, or this file would be the first finding.
var foreignText = []string{
	"/" + "work/",
	"/" + "root/",
	"/" + "Users/",
	"/tmp/" + "bash_jobs",
	"proxy." + "golang",
	"sum." + "golang",
	"GOPROXY" + "=",
	"registry." + "npmjs",
	"registry." + "yarnpkg",
	"index." + "crates.io",
	"static." + "crates.io",
	"files." + "pythonhosted",
	"pypi.org/" + "simple",
}

// skippedDirs are not part of the repository: the build's and other tools'
// output. A name with a slash is relative to the root, any other is skipped
// wherever it stands.
var skippedDirs = []string{
	".git", "./bin", "./varve-data", ".cache", "node_modules", "target", "__pycache__",
}
