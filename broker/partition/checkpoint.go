package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/varvelog/varve/broker/storage"
)

// errState is an entry or a checkpoint's state that makes no sense although its
// checksum holds.
var errState = errors.New("partition: state does not decode")

const stateVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saved is a partition's part of a checkpoint.
type saved struct {
	incarnation uint64
	position    storage.Position
	generation  uint64
	settings    Settings
	epochs      epochs
	producers   producers
	outbox      outbox
	origins     origins
	asOf        uint64
	tier        tier
}

// encodeSaved writes what is about files in front of rest, which is everything
// else.
func encodeSaved(incarnation uint64, at storage.Position, rest []byte) []byte {
	b := at.Append(binary.AppendUvarint([]byte{stateVersion}, incarnation))
	b = append(b, rest...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// encodeRest writes what does not depend on files.
func (p *Partition) encodeRest() []byte {
	b := binary.LittleEndian.AppendUint64(nil, p.generation)
	b = p.settings.appendTo(b)
	b = p.epochs.Load().appendTo(b)
	b = p.producers.appendTo(b)
	b = p.outbox.appendTo(b)
	b = p.remembered().appendTo(b)
	return p.tier.appendTo(b)
}

func decodeSaved(b []byte) (saved, error) {
	var s saved
	switch {
	case len(b) < 5:
		return s, fmt.Errorf("%w: %d bytes", errState, len(b))
	case b[0] != stateVersion:
		return s, fmt.Errorf("%w: version %d, this broker reads %d", errState, b[0], stateVersion)
	}
	n := len(b) - 4
	if crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return s, fmt.Errorf("%w: CRC", errState)
	}
	incarnation, k := binary.Uvarint(b[1:n])
	if k <= 0 {
		return s, fmt.Errorf("%w: incarnation", errState)
	}
	position, rest, err := storage.DecodePosition(b[1+k : n])
	if err != nil {
		return s, err
	}
	s, err = decodeRest(rest)
	s.incarnation, s.position = incarnation, position
	return s, err
}

// decodeRest reads what encodeRest wrote.
func decodeRest(b []byte) (saved, error) {
	var s saved
	var err error
	if len(b) < 8 {
		return s, errState
	}
	s.generation, b = binary.LittleEndian.Uint64(b), b[8:]
	if s.settings, b, err = decodeSettings(b); err != nil {
		return s, err
	}
	if s.epochs, b, err = decodeEpochs(b); err != nil {
		return s, err
	}
	if s.producers, b, err = decodeProducers(b); err != nil {
		return s, err
	}
	if s.outbox, b, err = decodeOutbox(b); err != nil {
		return s, err
	}
	if s.origins, b, err = decodeOrigins(b); err != nil {
		return s, err
	}
	s.asOf = s.origins[imageOrigin]
	delete(s.origins, imageOrigin)
	if s.tier, b, err = decodeTier(b); err != nil {
		return s, err
	}
	if len(b) != 0 {
		return s, fmt.Errorf("%w: %d bytes behind it", errState, len(b))
	}
	return s, nil
}
