package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// chunkIndex is what a disk cache knows of its chunks beside their files: when
// they were used. It is kept in Badger, and may be lost at any time.
type chunkIndex struct{ db *badger.DB }

// use is an entry of the index.
type use struct {
	n      int   // bytes of the chunk
	usedMs int64 // Unix time of the last use
}

const (
	useVersion  = 1
	useBytes    = 1 + 4 + 8
	useKeyBytes = 16 + 8
)

// errIndexLocked: another process, or another cache of this one, has the index.
var errIndexLocked = errors.New("remote: the index is in use")

// openIndex opens the index in a directory of the operating system, and makes
// it if it is missing.
func openIndex(path string, log *slog.Logger) (x *chunkIndex, err error) {
	defer guard(&err)
	o := badger.DefaultOptions(path).
		WithLogger(badgerLog{log}).
		WithMemTableSize(1 << 20).WithNumMemtables(2).
		WithBaseTableSize(1 << 20).WithBaseLevelSize(4 << 20).
		WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).
		WithValueThreshold(64 << 10).WithValueLogFileSize(1 << 20).
		WithNumCompactors(2).WithNumGoroutines(1).
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(0).
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithDetectConflicts(false).WithMetricsEnabled(false)
	db, err := badger.Open(o)
	if err != nil {
		if strings.Contains(err.Error(), "Cannot acquire directory lock") {
			err = errIndexLocked
		}
		return nil, fmt.Errorf("open index: %w", err)
	}
	return &chunkIndex{db}, nil
}

// guard turns a panic of Badger, such as about damaged files, into an error.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("index: panic: %v", p)
	}
}

// load returns at most max entries.
func (x *chunkIndex) load(max int) (uses map[ChunkID]use, err error) {
	defer guard(&err)
	uses = map[ChunkID]use{}
	err = x.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid() && len(uses) < max; it.Next() {
			id, ok := parseUseKey(it.Item().Key())
			if !ok {
				continue
			}
			if err := it.Item().Value(func(v []byte) error {
				if u, ok := parseUse(v); ok {
					uses[id] = u
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return uses, err
}

// put notes uses; drop forgets chunks.
func (x *chunkIndex) put(ids []ChunkID, uses []use, drop []ChunkID) (err error) {
	defer guard(&err)
	b := x.db.NewWriteBatch()
	defer b.Cancel()
	for i, id := range ids {
		if err := b.Set(appendUseKey(nil, id), appendUse(nil, uses[i])); err != nil {
			return err
		}
	}
	for _, id := range drop {
		if err := b.Delete(appendUseKey(nil, id)); err != nil {
			return err
		}
	}
	return b.Flush()
}

func (x *chunkIndex) close() (err error) {
	defer guard(&err)
	return x.db.Close()
}

func appendUseKey(b []byte, id ChunkID) []byte {
	return binary.BigEndian.AppendUint64(append(b, id.Object[:]...), uint64(id.Offset))
}

func parseUseKey(b []byte) (id ChunkID, ok bool) {
	if len(b) != useKeyBytes {
		return id, false
	}
	copy(id.Object[:], b)
	id.Offset = int64(binary.BigEndian.Uint64(b[16:]))
	return id, id.Offset >= 0
}

func appendUse(b []byte, u use) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, useVersion), uint32(u.n))
	return binary.LittleEndian.AppendUint64(b, uint64(u.usedMs))
}

func parseUse(b []byte) (u use, ok bool) {
	if len(b) != useBytes || b[0] != useVersion {
		return u, false
	}
	u.n = int(binary.LittleEndian.Uint32(b[1:]))
	u.usedMs = int64(binary.LittleEndian.Uint64(b[5:]))
	return u, u.usedMs >= 0
}

// badgerLog sends Badger's messages where only those who look for them see them.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) debug(format string, args []any) {
	l.log.Debug("cache index", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

// Errorf implements badger.Logger, like the methods below.
func (l badgerLog) Errorf(format string, args ...any)   { l.debug(format, args) }
func (l badgerLog) Warningf(format string, args ...any) { l.debug(format, args) }
func (l badgerLog) Infof(format string, args ...any)    { l.debug(format, args) }
func (l badgerLog) Debugf(format string, args ...any)   { l.debug(format, args) }
