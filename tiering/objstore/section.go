package objstore

import (
	"errors"
	"io"
	"sync"
)

var errDetached = errors.New("objstore: body is not read any more")

// section is a range of a put's body as an io.ReadSeeker. It remembers the body's
// own failure, so that it is not taken for one of the store, and can be detached
// from the body: a transport may go on reading a request's body after the
// request has failed, when the caller has its buffer or file back.
type section struct {
	mu   sync.Mutex // held while reading the body, which detach has to wait for
	r    *io.SectionReader
	size int64
	at   int64
	err  error
	gone bool
}

func newSection(body io.ReaderAt, off, n int64) *section {
	return &section{r: io.NewSectionReader(body, off, n), size: n}
}

// Read follows io.Reader. A body that ends early is io.ErrUnexpectedEOF.
func (s *section) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return 0, errDetached
	}
	n, err := s.r.Read(p)
	s.at += int64(n)
	if err == io.EOF && s.at < s.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Seek follows io.Seeker.
func (s *section) Seek(off int64, whence int) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.r.Seek(off, whence)
	if err == nil {
		s.at = at
	}
	return at, err
}

// detach ends all reading of the body and returns what the body failed with.
func (s *section) detach() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	return s.err
}
