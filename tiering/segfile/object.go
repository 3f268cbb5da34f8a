package segfile

import (
	"fmt"
	"io"

	"github.com/varvelog/varve/tiering/manifest"
)

// Object is the object of a segment, ready to be sent: header and tail are in
// memory, the data stays where it is.
type Object struct {
	// Segment is what the manifest is to say of the object; only CommittedAt is
	// not set.
	Segment manifest.Segment

	header, tail []byte
	data         io.ReaderAt
	dataCRC      uint32
	checksum     string
}

// Size returns the length of the object in bytes.
func (o *Object) Size() int64 { return o.Segment.ObjectBytes }

// Header returns the first manifest.DataOffset bytes of the object. The slice is
// the object's.
func (o *Object) Header() []byte { return o.header }

// Tail returns what lies behind the data. The slice is the object's.
func (o *Object) Tail() []byte { return o.tail }

// DataCRC returns the CRC-32C of the data.
func (o *Object) DataCRC() uint32 { return o.dataCRC }

// Checksum returns what objstore.Info.Checksum is of a stored object with this
// content, if the store keeps CRC-32C and was sent parts of Options.PartBytes.
func (o *Object) Checksum() string { return o.checksum }

// ReadAt implements io.ReaderAt over the whole object. It may be called from
// several goroutines if the source's Data may.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("segfile: read at %d", off)
	}
	dataEnd := o.Segment.TailOffset()
	n := 0
	for n < len(p) {
		at, rest := off+int64(n), p[n:]
		switch {
		case at < manifest.DataOffset:
			n += copy(rest, o.header[at:])
		case at < dataEnd:
			rest = rest[:min(int64(len(rest)), dataEnd-at)]
			m, err := o.data.ReadAt(rest, at-manifest.DataOffset)
			n += m
			if m == len(rest) {
				continue
			}
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF // the data was longer when it was built
			}
			return n, err
		case at < o.Size():
			n += copy(rest, o.tail[at-dataEnd:])
		default:
			return n, io.EOF
		}
	}
	return n, nil
}
