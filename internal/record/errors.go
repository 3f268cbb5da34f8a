package record

import (
	"errors"
	"fmt"
)

// Sentinels of this package, each with the Kafka error it stands for. They are
// wrapped with what was being checked; test with errors.Is.
var (
	// ErrCorrupt reports a batch whose length or checksum is wrong, so that
	// the bytes are not what was sent: CORRUPT_MESSAGE, which clients retry.
	ErrCorrupt = errors.New("record: corrupt batch")
	// ErrTruncated reports fewer bytes than the header or the batch needs. It
	// is an ErrCorrupt too.
	ErrTruncated = fmt.Errorf("%w: truncated", ErrCorrupt)
	// ErrMagic reports a format version other than 2:
	// UNSUPPORTED_FOR_MESSAGE_FORMAT (Kafka answers INVALID_RECORD where the
	// produce version rules older formats out).
	ErrMagic = errors.New("record: unsupported magic")
	// ErrInvalidRecord reports a batch that arrived as it was sent and breaks
	// a rule: INVALID_RECORD, which clients do not retry. A payload that
	// cannot be decompressed counts here, since sending it again would not
	// help.
	ErrInvalidRecord = errors.New("record: invalid record")
	// ErrInvalidTimestamp reports a timestamp out of the topic's bounds, or a
	// producer that claims LogAppendTime: INVALID_TIMESTAMP.
	ErrInvalidTimestamp = errors.New("record: invalid timestamp")
	// ErrCodec reports an unknown codec, or one that the caller ruled out:
	// UNSUPPORTED_COMPRESSION_TYPE.
	ErrCodec = errors.New("record: unsupported compression codec")
	// ErrTooLarge reports a batch, or its decompressed records, above a limit:
	// MESSAGE_TOO_LARGE, at which a producer splits the batch.
	ErrTooLarge = errors.New("record: batch too large")
	// ErrTransactional reports a transactional batch where none is allowed:
	// INVALID_TXN_STATE.
	ErrTransactional = errors.New("record: transactional batch not allowed")
)

// MaxRecordErrors is the most failures that one RecordsError lists. A client
// shows them to a human; a batch of a million bad records must not grow a
// response of its own size.
const MaxRecordErrors = 1000

// RecordError is the failure of one record, an entry of RecordErrors in a
// Produce response (KIP-467).
type RecordError struct {
	// Index is the position of the record in its batch, from 0.
	Index int
	// Kind is ErrInvalidRecord or ErrInvalidTimestamp.
	Kind error
	// Message says what is wrong, for the producer's log.
	Message string
}

// RecordsError reports that a batch is well formed and some of its records are
// not acceptable; nothing of the batch may be stored. It is ErrInvalidTimestamp
// if any record failed by its timestamp, else ErrInvalidRecord, as in Kafka.
type RecordsError struct {
	// RecordErrors is sorted by index and holds at most MaxRecordErrors.
	RecordErrors []RecordError
	// Total counts the failed records, listed or not.
	Total int

	timestamp bool
}

// Error says how many records failed, and how the first one did.
func (e *RecordsError) Error() string {
	if len(e.RecordErrors) == 0 {
		return e.Unwrap().Error()
	}
	first := e.RecordErrors[0]
	return fmt.Sprintf("%v: %d records failed, the first at index %d: %s", e.Unwrap(), e.Total, first.Index, first.Message)
}

// Unwrap returns the sentinel that the whole batch is answered with.
func (e *RecordsError) Unwrap() error {
	if e.timestamp {
		return ErrInvalidTimestamp
	}
	return ErrInvalidRecord
}

func (e *RecordsError) add(index int, kind error, message string) {
	e.Total++
	e.timestamp = e.timestamp || kind == ErrInvalidTimestamp
	if len(e.RecordErrors) < MaxRecordErrors {
		e.RecordErrors = append(e.RecordErrors, RecordError{Index: index, Kind: kind, Message: message})
	}
}

// full reports whether another message would not be listed, so that the caller
// need not format one.
func (e *RecordsError) full() bool { return len(e.RecordErrors) >= MaxRecordErrors }
