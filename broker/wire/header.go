package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Why a connection is closed for what its client sent. They are returned by
// Conn.Err, wrapped with the values that were found.
var (
	// ErrFrameLength: the length of a frame is negative or too small for a
	// header.
	ErrFrameLength = errors.New("wire: bad frame length")
	// ErrFrameTooLarge: the length of a frame is above the limit of its key.
	ErrFrameTooLarge = errors.New("wire: frame too large")
	// ErrForeignProtocol: the first bytes are TLS or HTTP.
	ErrForeignProtocol = errors.New("wire: not the Kafka protocol")
	// ErrUnknownAPI: the key or version is not served.
	ErrUnknownAPI = errors.New("wire: unknown API key or version")
	// ErrBadHeader: the request header does not parse.
	ErrBadHeader = errors.New("wire: bad request header")
)

const (
	lengthBytes = 4 // of a frame, not counted in it
	prefixBytes = 8 // key, version and correlation id
)

// prefix is the part of a request header that is the same in all versions.
type prefix struct {
	key, version  int16
	correlationID int32
}

// parseLength reads the length of a frame and refuses what cannot be one for
// any key. On the first frame of a plaintext connection it recognises other
// protocols.
func parseLength(b [lengthBytes]byte, first bool, bytesMax int) (int, error) {
	if name := foreign(b); name != "" && first {
		return 0, fmt.Errorf("%w: %s", ErrForeignProtocol, name)
	}
	n := int(int32(binary.BigEndian.Uint32(b[:])))
	if n < prefixBytes {
		return 0, fmt.Errorf("%w: %d", ErrFrameLength, n)
	}
	if n > bytesMax {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, n, bytesMax)
	}
	return n, nil
}

// foreign names the protocol that begins with b, or returns "". As the length of
// a frame all of these are above 350 MiB.
func foreign(b [lengthBytes]byte) string {
	if b[0] == 0x16 && b[1] == 0x03 {
		return "TLS handshake on a plaintext listener"
	}
	switch string(b[:]) {
	case "GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC", "CONN", "TRAC", "PRI ":
		return "HTTP request"
	}
	return ""
}

// parsePrefix reads the first eight bytes of a request header.
func parsePrefix(b [prefixBytes]byte) prefix {
	return prefix{
		key:           int16(binary.BigEndian.Uint16(b[0:])),
		version:       int16(binary.BigEndian.Uint16(b[2:])),
		correlationID: int32(binary.BigEndian.Uint32(b[4:])),
	}
}

// parseRest reads what follows the prefix in a request header: the client id,
// nil for null, and in flexible versions the tagged fields, which are skipped.
// The returned slices are part of b.
func parseRest(b []byte, tagged bool, clientIDMax int) (clientID, body []byte, err error) {
	if len(b) < 2 {
		return nil, nil, fmt.Errorf("%w: no client id", ErrBadHeader)
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	switch {
	case n < -1 || n > len(b):
		return nil, nil, fmt.Errorf("%w: client id of %d bytes in %d", ErrBadHeader, n, len(b))
	case n > clientIDMax:
		return nil, nil, fmt.Errorf("%w: client id of %d bytes, at most %d", ErrBadHeader, n, clientIDMax)
	case n >= 0:
		clientID, b = b[:n:n], b[n:]
	}
	if tagged {
		if b, err = skipTags(b); err != nil {
			return nil, nil, err
		}
	}
	return clientID, b, nil
}

// skipTags returns what follows the tagged fields at the start of b.
func skipTags(b []byte) ([]byte, error) {
	count, b, ok := uvarint(b)
	if !ok || count > uint64(len(b)/2) { // a field has two bytes at least
		return nil, fmt.Errorf("%w: number of tagged fields", ErrBadHeader)
	}
	for range count {
		var size uint64
		if _, b, ok = uvarint(b); !ok {
			return nil, fmt.Errorf("%w: tag", ErrBadHeader)
		}
		if size, b, ok = uvarint(b); !ok || size > uint64(len(b)) {
			return nil, fmt.Errorf("%w: size of a tagged field", ErrBadHeader)
		}
		b = b[size:]
	}
	return b, nil
}

// uvarint reads an unsigned varint of at most 32 bits, which is in five bytes.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 5 || v > 1<<32-1 {
		return 0, nil, false
	}
	return v, b[n:], true
}
