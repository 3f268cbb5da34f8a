package wire

import "time"

// Limits is what is known of one version of one API key before its body is
// read.
type Limits struct {
	// Known says that the handler serves this version. A frame of any other
	// closes its connection, except ApiVersions (see Request.Unsupported).
	Known bool
	// FrameBytesMax bounds the frame without its length field. 0 means
	// Settings.FrameBytesMax for Produce, Settings.SmallFrameBytesMax for all
	// others. Keys with a bound above SmallFrameBytesMax draw on the budget of
	// large frames.
	FrameBytesMax int
	// MemoryFactor is how many bytes of budget a byte of the frame is charged
	// once it has arrived, for requests whose decoded form is larger than their
	// bytes. 0 means 1.
	// A frame whose charge is more than the whole budget of small frames draws
	// on that of large ones; if it is more than that too, it is too large.
	MemoryFactor int
	// AnswerSmall says that the answer is not much larger than the request, or
	// reserves its memory, so that the request is read also while the memory of
	// other answers is used up, but not while twice as much is.
	AnswerSmall bool
}

// Settings are fixed when a server is made. A zero field takes the default that
// its comment names; Known has none and must be set.
type Settings struct {
	// Known gives the limits of a key and version as the client sent them. It
	// is called by every connection's reader and must not block.
	Known func(key, version int16) Limits

	// FrameBytesMax bounds a Produce frame: socket.request.max.bytes, 100 MiB.
	FrameBytesMax int
	// SmallFrameBytesMax bounds any other frame: 4 MiB.
	SmallFrameBytesMax int
	// MemoryBytes bounds the buffers of all requests that are being read or
	// handled, over all connections: memory.request.bytes, 512 MiB. A quarter of
	// it is for small frames, half of that while they arrive. It is raised to
	// what the largest permitted frames take.
	MemoryBytes int64
	// AnswerBytes bounds what is answered and not yet taken by clients, over all
	// connections: memory.response.bytes, 256 MiB. A quarter of it is for answers
	// that no memory was reserved for.
	AnswerBytes int64
	// ClientIDBytesMax bounds the client id of a request: 1,024.
	ClientIDBytesMax int

	// InFlightMax bounds the requests of one connection that are read and whose
	// replies are not yet written: 64.
	InFlightMax int
	// ConnectionsMax bounds the open connections: max.connections, 10,000. A
	// negative value is no bound.
	ConnectionsMax int
	// ConnectionsMaxPerIP bounds the open connections from one address:
	// max.connections.per.ip. 0 or less is no bound.
	ConnectionsMaxPerIP int

	// HandshakeMax is the time for the TLS handshake, and again for the first
	// request to begin: 30 s.
	HandshakeMax time.Duration
	// IdleMax closes a connection on which nothing is read, waited for or
	// written for so long: connections.max.idle.ms, 10 min.
	IdleMax time.Duration
	// ReadMax is the time in which a frame that has begun must arrive, without
	// what BytesPerSecondMin adds: 30 s.
	ReadMax time.Duration
	// WriteMax is the time in which replies must be taken by the client,
	// without what BytesPerSecondMin adds: 2 min, since a consumer may not read
	// while it works on its last batch.
	WriteMax time.Duration
	// BytesPerSecondMin is the rate that a client must keep up in both
	// directions; it extends ReadMax and WriteMax in proportion to what is
	// transferred: 1 MiB.
	BytesPerSecondMin int64
	// PressedMax is how long a client may send or take nothing while others wait
	// for the memory that it occupies, if that is a sixteenth of all; then it must
	// keep up BytesPerSecondMin: 2 s. For less memory it is longer; for more, and
	// where many wait, it is shorter, down to a twentieth for what is sent and a
	// quarter for what is taken.
	PressedMax time.Duration
	// LingerMax is how long a connection that ended in order waits for its
	// client to close after the last reply: 1 s.
	LingerMax time.Duration

	// Now stamps requests and paces log lines: time.Now. Deadlines of sockets
	// use the system's clock.
	Now func() time.Time
}

// withDefaults returns s with its zero fields filled in.
func (s Settings) withDefaults() Settings {
	orInt(&s.FrameBytesMax, 100<<20)
	orInt(&s.SmallFrameBytesMax, 4<<20)
	orInt(&s.MemoryBytes, 512<<20)
	orInt(&s.AnswerBytes, 256<<20)
	orInt(&s.ClientIDBytesMax, 1024)
	orInt(&s.InFlightMax, 64)
	if s.ConnectionsMax == 0 {
		s.ConnectionsMax = 10_000
	}
	orInt(&s.HandshakeMax, 30*time.Second)
	orInt(&s.IdleMax, 10*time.Minute)
	orInt(&s.ReadMax, 30*time.Second)
	orInt(&s.WriteMax, 2*time.Minute)
	orInt(&s.BytesPerSecondMin, 1<<20)
	orInt(&s.PressedMax, 2*time.Second)
	orInt(&s.LingerMax, time.Second)
	if s.Now == nil {
		s.Now = time.Now
	}
	return s
}

func orInt[T ~int | ~int64](field *T, def T) {
	if *field <= 0 {
		*field = def
	}
}

// budgets returns the sizes of the budgets for small frames that arrive and that
// are handled, which are the same, and for large ones.
func (s *Settings) budgets() (small, large int64) {
	small = max(s.MemoryBytes/8, int64(bufferCap(s.SmallFrameBytesMax)))
	large = max(s.MemoryBytes-2*small, int64(bufferCap(s.FrameBytesMax)))
	return small, large
}

// limits returns the bounds of a key and version with the defaults filled in,
// and whether the handler serves them.
func (s *Settings) limits(p prefix) (Limits, bool) {
	l := s.Known(p.key, p.version)
	if l.FrameBytesMax <= 0 {
		l.FrameBytesMax = s.SmallFrameBytesMax
		if p.key == keyProduce {
			l.FrameBytesMax = s.FrameBytesMax
		}
	}
	l.FrameBytesMax = min(l.FrameBytesMax, s.FrameBytesMax)
	if l.MemoryFactor <= 0 {
		l.MemoryFactor = 1
	}
	_, large := s.budgets()
	l.FrameBytesMax = min(l.FrameBytesMax, int(large/int64(l.MemoryFactor)))
	known := l.Known && p.version >= 0 && flexibleFrom(p.key) != unknownKey
	if p.key == keyControlledShutdown && p.version == 0 {
		known = false // its header has no client id
	}
	return l, known
}

// pressed returns the time that a client has, in which it transferred done bytes,
// while so many others wait for the memory that it occupies: held of total bytes.
// It has PressedMax for a sixteenth of it, more for less and less for more, and less
// the more of them wait, but at least a part of PressedMax.
func (s *Settings) pressed(waiters int, held, total, done int64, part time.Duration) time.Duration {
	share := float64(total) / float64(16*max(held, 1)) / (1 + float64(waiters)/8)
	grace := max(time.Duration(min(share, 60)*float64(s.PressedMax)), s.PressedMax/part)
	return s.transfer(grace, done)
}

// transfer returns the time allowed for n bytes on top of base.
func (s *Settings) transfer(base time.Duration, n int64) time.Duration {
	return base + time.Duration(float64(n)/float64(s.BytesPerSecondMin)*float64(time.Second))
}
