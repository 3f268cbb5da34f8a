package objstore

import "io"

// section reads a range of a body and remembers the body's own failure, so that
// it is not taken for one of the store. It can be read again from the start, as
// an io.ReadSeeker.
type section struct {
	io.SectionReader
	size int64
	err  error
}

func newSection(body io.ReaderAt, off, n int64) *section {
	return &section{SectionReader: *io.NewSectionReader(body, off, n), size: n}
}

func (s *section) Read(p []byte) (int, error) {
	n, err := s.SectionReader.Read(p)
	if err == io.EOF && n == 0 && s.left() > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// left is how many bytes have not been read yet.
func (s *section) left() int64 {
	at, err := s.SectionReader.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return s.size - at
}

// check turns a body that ended early into an error.
func (s *section) check(n int64) error {
	if s.err == nil && n != s.size {
		s.err = io.ErrUnexpectedEOF
	}
	return s.err
}
