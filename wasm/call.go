package wasm

import (
	"github.com/varvelog/varve/wasm/abi"
)

// run calls a hook. It copies the frame in and the verdicts out, and leaves the
// instance to be set back.
func (in *instance) run(p *Pool, hook abi.Hook, c *abi.Context, frame []byte, fuel int64, dst []byte) (r Result) {
	in.begin(c, fuel)
	defer func() {
		r.LogDropped = in.state.End()
		r.FuelUsed = max(fuel, 0) - in.left()
	}()
	r.Out = dst
	ptr := in.frame
	if len(frame) > abi.MaxRunBytes {
		var err error
		if ptr, err = in.buffer(len(frame)); err != nil {
			r.Trap = in.trap(err)
			return r
		}
	}
	copy(in.region.mem[ptr:], frame)
	answer, err := in.call(in.hooks[hook], uint64(ptr), uint64(len(frame)))
	if err != nil {
		r.Trap = in.trap(err)
		in.progress(r.Trap, ptr, abi.FrameCount(frame), p.c.OutBytesMax, dst)
		return r
	}
	out, ok := in.view(uint32(answer>>32), uint32(answer))
	switch {
	case !ok:
		r.Fault = "verdicts outside of the plugin's memory"
	case len(out) > p.c.OutBytesMax:
		r.Trap = &Trap{Why: WhyTooLarge, Cursor: max(abi.FrameCount(frame)-1, 0), Text: "verdicts are too many bytes"}
	default:
		r.Out = append(dst, out...)
	}
	return r
}

// progress fills in how far a hook came that trapped, as it noted in its frame.
// A cursor behind the last record stands for the last.
func (in *instance) progress(t *Trap, frame uint32, count, outMax int, dst []byte) {
	header, ok := in.view(frame, abi.FrameHeaderLen)
	if !ok {
		return
	}
	w, _ := abi.ReadProgress(header)
	t.Cursor = int(min(w.Cursor, uint32(max(count-1, 0))))
	if out, ok := in.view(w.OutPtr, w.OutLen); ok && len(out) <= outMax {
		t.Out = append(dst, out...)
	}
}

// view returns n bytes of guest memory.
func (in *instance) view(ptr, n uint32) ([]byte, bool) {
	if uint64(ptr)+uint64(n) > uint64(len(in.region.mem)) {
		return nil, false
	}
	return in.region.mem[ptr:][:n], true
}
