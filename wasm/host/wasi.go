package host

// errno is a WASI error number.
type errno uint32

const (
	success errno = 0
	badf    errno = 8
	fault   errno = 21
	inval   errno = 28
)

// maxVectors bounds the buffers of one fd_write and the subscriptions of one
// poll_oneoff.
const maxVectors = 1024

// The binary layout of WASI's subscriptions and events.
const (
	iovecBytes        = 8
	subscriptionBytes = 48
	eventBytes        = 32
	clockSubscription = 0
	absoluteTime      = 1
)

// procExit ends the call.
func procExit(_ *State, _ []byte, stack []uint64) error {
	return &ExitError{Code: uint32(stack[0])}
}

// badFile answers that there is no such file.
func badFile(*State, []byte, []uint64) errno { return badf }

// emptyGet is args_get and environ_get: there is nothing to write.
func emptyGet(*State, []byte, []uint64) errno { return success }

// emptySizes is args_sizes_get and environ_sizes_get.
func emptySizes(_ *State, mem []byte, stack []uint64) errno {
	count, ok1 := view(mem, stack[0], 4)
	size, ok2 := view(mem, stack[1], 4)
	if !ok1 || !ok2 {
		return fault
	}
	clear(count)
	clear(size)
	return success
}

// clockTimeGet is clock_time_get(id, precision, ptr): all clocks are one.
func clockTimeGet(s *State, mem []byte, stack []uint64) errno {
	return putTime(mem, stack[0], stack[2], uint64(s.now))
}

// clockResGet is clock_res_get(id, ptr).
func clockResGet(_ *State, mem []byte, stack []uint64) errno {
	return putTime(mem, stack[0], stack[1], 1)
}

func putTime(mem []byte, id, ptr, ns uint64) errno {
	const clocks = 4
	if uint32(id) >= clocks {
		return inval
	}
	p, ok := view(mem, ptr, 8)
	if !ok {
		return fault
	}
	le.PutUint64(p, ns)
	return success
}

// randomGet is random_get(ptr, len): the little-endian bytes of SplitMix64
// numbers, a new number for each call.
func randomGet(s *State, mem []byte, stack []uint64) errno {
	p, ok := view(mem, stack[0], stack[1])
	if !ok {
		return fault
	}
	s.charge(uint64(len(p)))
	for len(p) >= 8 {
		le.PutUint64(p, s.next())
		p = p[8:]
	}
	if len(p) > 0 {
		var last [8]byte
		le.PutUint64(last[:], s.next())
		copy(p, last[:])
	}
	return success
}

// fdWrite is fd_write(fd, iovs, iovs_len, nwritten).
func fdWrite(s *State, mem []byte, stack []uint64) errno {
	if fd := uint32(stack[0]); fd != 1 && fd != 2 {
		return badf
	}
	n := uint32(stack[2])
	if n > maxVectors {
		return inval
	}
	vectors, ok1 := view(mem, stack[1], uint64(n)*iovecBytes)
	written, ok2 := view(mem, stack[3], 4)
	if !ok1 || !ok2 {
		return fault
	}
	total := uint64(0)
	for ; len(vectors) > 0; vectors = vectors[iovecBytes:] {
		p, ok := view(mem, uint64(le.Uint32(vectors)), uint64(le.Uint32(vectors[4:])))
		if !ok {
			return fault
		}
		total += uint64(len(p))
		if total > uint64(len(mem)) {
			return inval
		}
		s.charge(uint64(len(p)))
		s.write(p)
	}
	le.PutUint32(written, uint32(total))
	return success
}

// pollOneoff is poll_oneoff(in, out, nsubscriptions, nevents). Files are never
// there; if only clocks are waited for, the clock jumps to the first that is due.
func pollOneoff(s *State, mem []byte, stack []uint64) errno {
	n := uint32(stack[2])
	if n == 0 || n > maxVectors {
		return inval
	}
	in, ok1 := view(mem, stack[0], uint64(n)*subscriptionBytes)
	out, ok2 := view(mem, stack[1], uint64(n)*eventBytes)
	count, ok3 := view(mem, stack[3], 4)
	if !ok1 || !ok2 || !ok3 {
		return fault
	}
	s.charge(uint64(len(in)))
	// The two areas may overlap: what is waited for is read before it is
	// answered.
	subs := make([]subscription, n)
	first, files := ^uint64(0), false
	for i := range subs {
		subs[i] = s.subscription(in[i*subscriptionBytes:])
		first = min(first, subs[i].wait)
		files = files || subs[i].kind != clockSubscription
	}
	if !files {
		s.advance(first)
	} else {
		first = 0
	}
	events := uint32(0)
	for i := range subs {
		if subs[i].wait > first {
			continue
		}
		e := out[events*eventBytes:][:eventBytes]
		clear(e)
		le.PutUint64(e, subs[i].userdata)
		if subs[i].kind != clockSubscription {
			le.PutUint16(e[8:], uint16(badf))
		}
		e[10] = subs[i].kind
		events++
	}
	le.PutUint32(count, events)
	return success
}

type subscription struct {
	userdata uint64
	kind     byte
	wait     uint64 // ns from now, 0 for files
}

func (s *State) subscription(p []byte) subscription {
	sub := subscription{userdata: le.Uint64(p), kind: p[8]}
	if sub.kind != clockSubscription {
		return sub
	}
	sub.wait = le.Uint64(p[24:])
	if le.Uint16(p[40:])&absoluteTime != 0 {
		now := uint64(max(s.now, 0))
		sub.wait -= min(sub.wait, now)
	}
	return sub
}
