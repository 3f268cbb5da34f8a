package plugins

// Failure is how a record failed in a stage.
type Failure uint8

// The failures.
const (
	// FailedByVerdict: the plugin rejected the record.
	FailedByVerdict Failure = iota
	// FailedToDeadLetter: the plugin asked for a dead letter.
	FailedToDeadLetter
	// FailedToAnswer: the plugin trapped, ran out of fuel or memory, or gave
	// garbage.
	FailedToAnswer
	failureCount
)

// Fate is what becomes of a record that failed.
type Fate uint8

// The fates.
const (
	// FateReject refuses the whole batch; the record is one of the reasons.
	FateReject Fate = iota
	// FateDeadLetter takes the record out of the batch and emits a dead letter.
	FateDeadLetter
	// FateDrop takes the record out of the batch.
	FateDrop
	// FatePass lets the record go on as the stage got it.
	FatePass
)

// fates says what each policy makes of a failure while the breaker is closed.
// Not even drop and pass overrule a plugin that asks for a dead letter.
var fates = [policyCount][failureCount]Fate{
	OnFailureReject:     {FateReject, FateDeadLetter, FateReject},
	OnFailureDeadLetter: {FateDeadLetter, FateDeadLetter, FateDeadLetter},
	OnFailureDrop:       {FateDrop, FateDeadLetter, FateDrop},
	OnFailurePass:       {FatePass, FateDeadLetter, FatePass},
}

// Decide returns the fate of a record that failed in the stage. open says that
// the stage's breaker is open: then nothing is dead-lettered, not even what the
// plugin asks to, and the batch is rejected instead.
func (s *StageSpec) Decide(f Failure, open bool) Fate {
	if s.OnFailure >= policyCount || f >= failureCount {
		return FateReject
	}
	fate := fates[s.OnFailure][f]
	if fate == FateDeadLetter && open || fate == FatePass && s.Sensitive {
		return FateReject
	}
	return fate
}
