package pipeline

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// maxSplits is how often a stage may halve its runs in one batch because a frame
// or an answer was too large. After that such a call is a trap like others.
const maxSplits = 64

// Run runs the chain over one batch. An error is one of the infrastructure,
// wraps what a Guest returned or ErrStopped, and may pass; the Output is empty
// then. Everything else, also what a hostile plugin does, is in the Output.
//
// All stages run even if an early one rejected records, so that the refusal
// names every record that is at fault.
func (c *Chain) Run(in Input) (Output, error) {
	w := newWork(c, &in)
	defer w.release()
	if err := w.load(); err != nil {
		return w.refuse(err), nil
	}
	for i := range c.stages {
		w.enter(i)
		if err := w.runStage(); err != nil {
			return Output{}, fmt.Errorf("run stage %s of topic %s: %w", c.stages[i].Name, c.topic, err)
		}
	}
	return w.finish()
}

// enter makes stage i the current one.
func (w *work) enter(i int) {
	w.at = i
	w.stage = &w.chain.stages[i]
	w.stat = &w.stats[i]
	w.open = i < plugins.MaxStages && w.in.Open>>i&1 != 0
	w.traps, w.splits, w.limit = 0, 0, abi.MaxRunRecords
}

// runStage runs the current stage over the records that are left. Traps are
// counted by stage: one plugin's do not keep the batch from the next one.
func (w *work) runStage() error {
	came := w.left
	for next := 0; next < len(w.slots); {
		end := w.fill(next)
		if next = end; len(w.run) == 0 {
			continue
		}
		var err error
		if next, err = w.call(end); err != nil {
			return err
		}
		if w.traps >= abi.MaxTraps {
			w.failRest(next)
			break
		}
	}
	w.stat.Skipped = came - w.stat.Records
	return nil
}

// fill makes the frame of the run that begins at slot i or behind it, and
// returns the slot at which the next run begins.
func (w *work) fill(i int) (next int) {
	w.run = w.run[:0]
	w.framer.Begin(w.frame[:0], &w.context, w.stage.Parts)
	for ; i < len(w.slots) && len(w.run) < w.limit; i++ {
		s := &w.slots[i]
		if !w.takes(s) {
			continue
		}
		err := w.framer.Add(&s.Record)
		if errors.Is(err, abi.ErrFull) {
			break
		}
		if err != nil {
			w.fail(i, abi.CodeTooLarge, "no frame can hold the record", plugins.FailedToAnswer)
			continue
		}
		w.run = append(w.run, int32(i))
	}
	w.frame = w.framer.Finish()
	return i
}

// takes says whether the record goes through the current stage's plugin.
func (w *work) takes(s *slot) bool { return s.state == live && !w.stage.skips(&s.Record) }

// call calls the plugin with the frame and applies what it answers. It returns
// the slot at which to go on: next, or an earlier one after a trap.
func (w *work) call(next int) (int, error) {
	n := len(w.run)
	fuel := w.stage.Spec.Budget.For(n, len(w.frame))
	res, err := w.stage.Guest.Call(w.stage.Hook, w.context, w.frame, fuel, w.out[:0])
	w.stat.Calls++
	w.stat.Fuel += res.FuelUsed
	w.stat.Waited += res.Waited
	w.stat.Elapsed += res.Elapsed
	w.stat.LogDropped += res.LogDropped
	if err != nil {
		return 0, err
	}
	switch t := res.Trap; {
	case t == nil:
		w.keepBuffer(res.Out)
		w.limit = min(w.limit*2, abi.MaxRunRecords)
		w.settle(&res)
		return next, nil
	case t.Why == wasm.WhyStopped:
		return 0, ErrStopped
	case t.Why == wasm.WhyTooLarge && n > 1 && w.splits < maxSplits:
		w.keepBuffer(t.Out)
		w.splits++
		w.limit = n / 2
		return int(w.run[0]), nil
	default:
		w.keepBuffer(t.Out)
		return w.trapped(t), nil
	}
}

// keepBuffer keeps the buffer of an answer for the next call.
func (w *work) keepBuffer(out []byte) {
	if cap(out) > cap(w.out) {
		w.out = out
	}
}

// settle applies the verdicts of a call that returned.
func (w *work) settle(res *wasm.Result) {
	n := len(w.run)
	if len(res.Out) == n && bytes.Count(res.Out, keepByte) == n {
		w.stat.Records += n
		w.stat.Kept += n
		return
	}
	if res.Fault != "" {
		w.failRun(0, n, res.Fault)
		return
	}
	verdicts, err := abi.AppendVerdicts(w.verdicts[:0], res.Out, n, w.stage.Hook)
	w.verdicts = verdicts
	w.applyAll(verdicts)
	if err != nil {
		w.failRun(len(verdicts), n, err.Error())
	}
}

var keepByte = []byte{byte(abi.Keep)}

// trapped applies the verdicts from before a trap, fails the record at the
// cursor, and returns the slot behind it.
func (w *work) trapped(t *wasm.Trap) int {
	w.traps++
	w.stat.Traps++
	cursor := t.Cursor
	if cursor < 0 || cursor >= len(w.run) {
		cursor = len(w.run) - 1
	}
	// The error is told by what is missing.
	verdicts, _ := abi.AppendVerdicts(w.verdicts[:0], t.Out, cursor, w.stage.Hook)
	w.verdicts = verdicts
	w.applyAll(verdicts)
	w.failRun(len(verdicts), cursor, "no verdict before a trap")
	at := int(w.run[cursor])
	w.fail(at, t.Why.Code(), t.Text, plugins.FailedToAnswer)
	return at + 1
}

// failRun fails the records from and to (exclusive) of the run as garbage.
func (w *work) failRun(from, to int, text string) {
	for ; from < to; from++ {
		at := int(w.run[from])
		w.fail(at, abi.CodeGarbage, text, plugins.FailedToAnswer)
	}
}

// failRest fails what is left of the batch from slot i on without running it.
func (w *work) failRest(i int) {
	text := fmt.Sprintf("not run: the plugin trapped %d times in this batch", abi.MaxTraps)
	for ; i < len(w.slots); i++ {
		if s := &w.slots[i]; w.takes(s) {
			w.fail(i, abi.CodeTrapped, text, plugins.FailedToAnswer)
		}
	}
}
