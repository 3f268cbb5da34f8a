package record

import "fmt"

// Codec is a batch's compression codec, the low three bits of its attributes.
type Codec int8

// The codecs of Kafka. Zstd needs Produce 7 and Fetch 10 (KIP-110).
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4

	codecs = 5
)

var codecNames = [codecs]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String returns the name that compression.type uses.
func (c Codec) String() string {
	if !c.Known() {
		return fmt.Sprintf("codec(%d)", int8(c))
	}
	return codecNames[c]
}

// Known reports whether c is one of the five codecs.
func (c Codec) Known() bool { return c >= 0 && c < codecs }

// ParseCodec returns the codec of a name as String gives it, or ErrCodec.
func ParseCodec(name string) (Codec, error) {
	for i, n := range codecNames {
		if n == name {
			return Codec(i), nil
		}
	}
	return None, fmt.Errorf("parse codec %q: %w", name, ErrCodec)
}

// DefaultMaxDecompressedBytes bounds the decompressed records of one batch
// where a limit of 0 or less is given. It allows a batch of 1 MiB a ratio of 64.
const DefaultMaxDecompressedBytes = 64 << 20

func limitOrDefault(limit int) int {
	if limit <= 0 {
		return DefaultMaxDecompressedBytes
	}
	return limit
}

// Decompress returns the decompressed form of src, which is borrowed; for None
// that is src itself, else a slice that the caller owns. At most limit bytes
// are produced (0: DefaultMaxDecompressedBytes), and what is allocated is in
// proportion to what was produced. It fails with ErrCodec, ErrTooLarge, or
// ErrInvalidRecord if src is not what codec writes.
func Decompress(codec Codec, src []byte, limit int) ([]byte, error) {
	return appendDecompressed(nil, codec, src, limit)
}

// appendDecompressed is Decompress into the spare capacity of dst, which must
// be empty. For None it returns src and leaves dst alone.
func appendDecompressed(dst []byte, codec Codec, src []byte, limit int) ([]byte, error) {
	limit = limitOrDefault(limit)
	if codec == None {
		if len(src) > limit {
			return nil, fmt.Errorf("decompress: %w: %d bytes, limit %d", ErrTooLarge, len(src), limit)
		}
		return src, nil
	}
	r, err := NewReader(codec, src, limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		chunk, err := r.next()
		if err != nil {
			return dst, eofIsNil(err)
		}
		dst = append(dst, chunk...)
	}
}
