package kafka

import "encoding/binary"

// The parts of a response that its encoder writes itself. Flexible is whether
// the version has compact lengths and tagged fields (KIP-482).

func appendInt16(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }

func appendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

func appendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// appendCount writes the length of an array.
func appendCount(b []byte, flexible bool, n int) []byte {
	if flexible {
		return binary.AppendUvarint(b, uint64(n)+1)
	}
	return appendInt32(b, int32(n))
}

// appendNullArray writes an array that is null.
func appendNullArray(b []byte, flexible bool) []byte {
	if flexible {
		return append(b, 0)
	}
	return appendInt32(b, -1)
}

// appendString writes a string of at most 32 KiB.
func appendString(b []byte, flexible bool, s string) []byte {
	if flexible {
		b = binary.AppendUvarint(b, uint64(len(s))+1)
	} else {
		b = appendInt16(b, int16(len(s)))
	}
	return append(b, s...)
}

// appendNullableString writes a string, or null for nil.
func appendNullableString(b []byte, flexible bool, s *string) []byte {
	switch {
	case s != nil:
		return appendString(b, flexible, *s)
	case flexible:
		return append(b, 0)
	}
	return appendInt16(b, -1)
}

// appendNoTags ends a structure that has no tagged fields.
func appendNoTags(b []byte, flexible bool) []byte {
	if flexible {
		return append(b, 0)
	}
	return b
}
