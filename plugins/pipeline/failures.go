package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/wasm/abi"
)

// maxMessageBytes bounds the messages of all dead letters of one batch together.
// Those beyond it have none, so that an entry cannot be made of messages.
const maxMessageBytes = 1 << 20

// failures collects what the records of a batch failed of.
type failures struct {
	rejections []record.RecordError // unsorted; at most twice of what is listed
	rejected   int
	letters    []letter
	messages   int // bytes
}

// letter is a dead letter to be.
type letter struct {
	slot    int32
	stage   int32
	code    abi.Code
	message string
}

// reject notes a record that is a reason to refuse the batch. Of very many the
// first ones by index are kept.
func (f *failures) reject(i int, stage string, code abi.Code, message string) {
	f.add(i, record.ErrInvalidRecord, "stage "+stage+": "+describe(code, message))
}

func (f *failures) add(i int, kind error, message string) {
	f.rejected++
	if len(f.rejections) == 2*record.MaxRecordErrors {
		f.trim()
	}
	f.rejections = append(f.rejections, record.RecordError{Index: i, Kind: kind, Message: message})
}

func (f *failures) trim() {
	slices.SortFunc(f.rejections, func(a, b record.RecordError) int { return cmp.Compare(a.Index, b.Index) })
	if len(f.rejections) > record.MaxRecordErrors {
		f.rejections = f.rejections[:record.MaxRecordErrors]
	}
}

// refusal returns the error that a batch with rejected records is refused with.
func (f *failures) refusal() error {
	f.trim()
	return &record.RecordsError{RecordErrors: f.rejections, Total: f.rejected}
}

func (f *failures) deadLetter(i, stage int, code abi.Code, message string) {
	message = strings.ToValidUTF8(message, "\uFFFD")
	if len(message) > abi.MaxMessageBytes {
		message = strings.ToValidUTF8(message[:abi.MaxMessageBytes], "")
	}
	if f.messages += len(message); f.messages > maxMessageBytes {
		message = ""
	}
	f.letters = append(f.letters, letter{slot: int32(i), stage: int32(stage), code: code, message: message})
}

// describe puts code and message into words for the producer's log.
func describe(code abi.Code, message string) string {
	message = strings.ToValidUTF8(message, "\uFFFD")
	if name := brokerCodes[code]; name != "" {
		if message == "" {
			return name
		}
		return name + ": " + message
	}
	if message == "" {
		return fmt.Sprintf("rejected with code %d", code)
	}
	return fmt.Sprintf("%s (code %d)", message, code)
}

var brokerCodes = map[abi.Code]string{
	abi.CodeTrapped:     "plugin trapped",
	abi.CodeOutOfFuel:   "plugin out of fuel",
	abi.CodeGarbage:     "garbage from plugin",
	abi.CodeTooLarge:    "too large for plugin",
	abi.CodeOutOfMemory: "plugin out of memory",
}
