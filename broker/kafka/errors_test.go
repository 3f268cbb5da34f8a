package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/property"
	"github.com/varvelog/varve/internal/record"
)

// domainErrors are the exported errors of the packages below, by name, that
// have a row. TestEveryErrorHasARow compares it with the packages' sources.
var domainErrors = map[string]error{
	"partition.ErrNotLeader": partition.ErrNotLeader, "partition.ErrDamaged": partition.ErrDamaged,
	"partition.ErrQueueFull": partition.ErrQueueFull, "partition.ErrNoSpace": partition.ErrNoSpace,
	"partition.ErrOffsetOutOfRange": partition.ErrOffsetOutOfRange, "partition.ErrStaleChain": partition.ErrStaleChain,
	"partition.ErrTiered": partition.ErrTiered, "partition.ErrTierUnavailable": partition.ErrTierUnavailable,
	"partition.ErrChainLoading": partition.ErrChainLoading, "partition.ErrOutboxFull": partition.ErrOutboxFull,
	"partition.ErrChainFailed": partition.ErrChainFailed,
	"partition.ErrFenced":      partition.ErrFenced, "partition.ErrOutOfOrder": partition.ErrOutOfOrder,

	"node.ErrNotReady": node.ErrNotReady,

	"coordinator.ErrUnavailable": coordinator.ErrUnavailable, "coordinator.ErrNotCoordinator": coordinator.ErrNotCoordinator,
	"coordinator.ErrLoading": coordinator.ErrLoading, "coordinator.ErrTooLarge": coordinator.ErrTooLarge,

	"group.ErrInvalidGroup": group.ErrInvalidGroup, "group.ErrInvalidRequest": group.ErrInvalidRequest,
	"group.ErrSessionTimeout": group.ErrSessionTimeout, "group.ErrUnknownMember": group.ErrUnknownMember,
	"group.ErrMemberIDRequired": group.ErrMemberIDRequired, "group.ErrFencedInstance": group.ErrFencedInstance,
	"group.ErrIllegalGeneration": group.ErrIllegalGeneration, "group.ErrRebalanceInProgress": group.ErrRebalanceInProgress,
	"group.ErrInconsistentProtocol": group.ErrInconsistentProtocol, "group.ErrGroupMaxSize": group.ErrGroupMaxSize,
	"group.ErrGroupTooLarge": group.ErrGroupTooLarge, "group.ErrGroupNotFound": group.ErrGroupNotFound,
	"group.ErrNonEmptyGroup": group.ErrNonEmptyGroup, "group.ErrSubscribed": group.ErrSubscribed,
	"group.ErrMetadataTooLarge": group.ErrMetadataTooLarge, "group.ErrUnknownTopic": group.ErrUnknownTopic, "group.ErrOverloaded": group.ErrOverloaded,
	"group.ErrLoading": group.ErrLoading,

	"record.ErrCorrupt": record.ErrCorrupt, "record.ErrTruncated": record.ErrTruncated, "record.ErrMagic": record.ErrMagic,
	"record.ErrInvalidRecord": record.ErrInvalidRecord, "record.ErrInvalidTimestamp": record.ErrInvalidTimestamp,
	"record.ErrCodec": record.ErrCodec, "record.ErrTooLarge": record.ErrTooLarge, "record.ErrTransactional": record.ErrTransactional,

	"metadata.ErrConflict": metadata.ErrConflict, "metadata.ErrLimit": metadata.ErrLimit, "metadata.ErrTopicExists": metadata.ErrTopicExists,
	"metadata.ErrTopicCollision": metadata.ErrTopicCollision, "metadata.ErrInvalidTopicName": metadata.ErrInvalidTopicName,
	"metadata.ErrInvalidTopicID": metadata.ErrInvalidTopicID, "metadata.ErrUnknownTopic": metadata.ErrUnknownTopic,
	"metadata.ErrInvalidPartitions": metadata.ErrInvalidPartitions, "metadata.ErrInvalidReplicationFactor": metadata.ErrInvalidReplicationFactor,
	"metadata.ErrInvalidAssignment": metadata.ErrInvalidAssignment, "metadata.ErrInvalidConfig": metadata.ErrInvalidConfig,
	"metadata.ErrInvalidStage": metadata.ErrInvalidStage, "metadata.ErrUnknownStage": metadata.ErrUnknownStage,
	"metadata.ErrUnknownBroker": metadata.ErrUnknownBroker, "metadata.ErrInvalidFeature": metadata.ErrInvalidFeature,
	"metadata.ErrBound": metadata.ErrBound, "metadata.ErrDamaged": metadata.ErrDamaged,
}

// neverReachesClients are the exported errors that no request is answered with.
var neverReachesClients = map[string]string{
	"record.ErrOrder":           "only of batches that the broker builds from validated ones",
	"record.ErrEmpty":           "only of batches that the broker builds from validated ones",
	"group.ErrCorrupt":          "a partition that cannot be loaded is ErrUnavailable of the coordinator",
	"node.ErrFrame":             "only of frames between brokers",
	"node.ErrObjectGone":        "told to the operator",
	"node.ErrSearch":            "told to the operator",
	"metadata.ErrTopicIDInUse":  "topic ids are drawn at random: a mistake of ours if it happens",
	"metadata.ErrInvalidCount":  "the broker chooses the size of its blocks of producer ids",
	"metadata.ErrInvalidBroker": "brokers register themselves",
	"metadata.ErrInvalidPlugin": "plugins have no Kafka request",
	"metadata.ErrUnknownPlugin": "plugins have no Kafka request",
	"metadata.ErrPluginInUse":   "plugins have no Kafka request",
	"metadata.ErrStageInUse":    "stages have no Kafka request",
	"metadata.ErrInvalidLimits": "limits have no Kafka request",
	"metadata.ErrCheckpoint":    "stops the start",
	"metadata.ErrTruncated":     "wrapped in ErrDamaged or ErrCheckpoint",
	"metadata.ErrTrailing":      "wrapped in ErrDamaged or ErrCheckpoint",
	"metadata.ErrVersion":       "wrapped in ErrDamaged or ErrCheckpoint",
	"metadata.ErrKind":          "wrapped in ErrDamaged or ErrCheckpoint",
	"metadata.ErrValue":         "wrapped in ErrDamaged or ErrCheckpoint",
	"metadata.ErrMagic":         "wrapped in ErrCheckpoint",
	"metadata.ErrChecksum":      "wrapped in ErrCheckpoint",
	"metadata.ErrClusterID":     "wrapped in ErrCheckpoint",
}

// exportedErrors returns the package-level variables of a package whose names
// begin with Err.
func exportedErrors(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	files, err := fs.Glob(os.DirFS(dir), "*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources in %s: %v", dir, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), dir+"/"+file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(name.Name, "Err") {
						names = append(names, f.Name.Name+"."+name.Name)
					}
				}
			}
		}
	}
	return names
}

func TestEveryErrorHasARow(t *testing.T) {
	found := map[string]bool{}
	for _, dir := range []string{"../partition", "../metadata", "../node", "../group", "../coordinator", "../../internal/record"} {
		for _, name := range exportedErrors(t, dir) {
			found[name] = true
			err, ok := domainErrors[name]
			_, never := neverReachesClients[name]
			switch {
			case ok == never:
				t.Errorf("%s must stand either in domainErrors or in neverReachesClients", name)
			case ok && lookupError(fmt.Errorf("wrapped: %w", err)) == nil:
				t.Errorf("%s has no row in errorTable", name)
			}
		}
	}
	for name := range domainErrors {
		if !found[name] {
			t.Errorf("%s is in domainErrors and in no package", name)
		}
	}
	for name := range neverReachesClients {
		if !found[name] {
			t.Errorf("%s is in neverReachesClients and in no package", name)
		}
	}
}

// TestEveryRowCanBeReached: a row behind one that its error also is would be
// dead.
func TestEveryRowCanBeReached(t *testing.T) {
	for i, row := range errorTable {
		if got := lookupError(row.domain); got != row.kafka {
			t.Errorf("row %d, %v: %v, want %v", i, row.domain, got, row.kafka)
		}
	}
}

func TestErrorCodes(t *testing.T) {
	var log bytes.Buffer
	h := New(nil, slog.New(slog.NewTextHandler(&log, nil)))
	unknown := errors.New("never seen before")
	for _, c := range []struct {
		name      string
		err       error
		code      *kerr.Error
		read      *kerr.Error
		coordinat *kerr.Error
	}{
		{"own", refuse(kerr.PolicyViolation, "no"), kerr.PolicyViolation, kerr.PolicyViolation, kerr.PolicyViolation},
		{"damaged", fmt.Errorf("%w: %w", partition.ErrDamaged, record.ErrCorrupt), kerr.KafkaStorageError, kerr.KafkaStorageError, kerr.CoordinatorLoadInProgress},
		{"not ready", node.ErrNotReady, kerr.NotController, kerr.NotController, kerr.CoordinatorLoadInProgress},
		{"space", replog.ErrNoSpace, kerr.NotEnoughReplicas, kerr.NotEnoughReplicas, kerr.CoordinatorLoadInProgress},
		{"setting", &property.Error{Kind: property.ErrRange}, kerr.InvalidConfig, kerr.InvalidConfig, kerr.InvalidConfig},
		{"unknown", unknown, kerr.UnknownServerError, kerr.KafkaStorageError, kerr.UnknownServerError},
	} {
		if got := h.code(c.err); got != c.code.Code {
			t.Errorf("%s: code %d, want %v", c.name, got, c.code)
		}
		if got := h.readCode(c.err); got != c.read.Code {
			t.Errorf("%s: readCode %d, want %v", c.name, got, c.read)
		}
		if got := h.coordinatorCode(c.err); got != c.coordinat.Code {
			t.Errorf("%s: coordinatorCode %d, want %v", c.name, got, c.coordinat)
		}
	}
	if h.code(nil) != 0 || h.readCode(nil) != 0 || h.coordinatorCode(nil) != 0 || errorText(nil) != nil {
		t.Error("nil is an error")
	}
	if n := strings.Count(log.String(), "never seen before"); n != 3 {
		t.Errorf("the unknown error was logged %d times: %s", n, log.String())
	}
	if s := *errorText(errors.New(strings.Repeat("x", 100_000))); len(s) != messageBytesMax {
		t.Errorf("a message of %d bytes", len(s))
	}
}
