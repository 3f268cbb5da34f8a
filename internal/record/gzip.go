package record

import "github.com/klauspost/compress/gzip"

// gzipDecoder reads gzip members, one or several in a row.
type gzipDecoder struct {
	stream
	gz *gzip.Reader
}

func (d *gzipDecoder) reset(src []byte, limit int) error {
	d.src.Reset(src)
	if d.gz == nil {
		d.gz = new(gzip.Reader)
	}
	return noEOF(d.gz.Reset(&d.src))
}

func (d *gzipDecoder) next(want int) ([]byte, error) { return d.read(d.gz, want) }

func (d *gzipDecoder) release() { d.src.Reset(nil) }
