//go:build mutants

package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// profile says which seeds count for a planted bug: those whose plan has what the
// bug is about. The others are not run. bias, if it is not nil, changes their
// plans so that it happens more often.
type profile struct {
	name string
	fits func(seed uint64, p *plan) bool
	bias func(*plan)
}

var (
	anyPlan    = profile{name: "any", fits: func(uint64, *plan) bool { return true }}
	onePlans   = profile{name: "one node", fits: func(_ uint64, p *plan) bool { return p.nodes == 1 }}
	chainPlans = profile{name: "chains", fits: func(_ uint64, p *plan) bool { return p.chains }}
	tierPlans  = profile{name: "cold tier", fits: func(_ uint64, p *plan) bool { return p.tier }}
	// Brokers that often end while an upload or its commit is under way.
	tierFails = profile{name: "uploads", fits: func(_ uint64, p *plan) bool { return p.tier && p.faultEvery > 0 }, bias: func(p *plan) {
		p.length, p.tierEvery, p.syncError, p.kill = min(p.length, 20*time.Second), 200*time.Millisecond, true, true
		p.faultEvery, p.storeDelay, p.storeFails, p.doDelay = p.length/40, time.Millisecond, 0, 10*time.Millisecond
	}}
	fullPlans  = profile{name: "full disk", fits: func(_ uint64, p *plan) bool { return p.full }}
	nodePlans  = profile{name: "nodes", fits: func(_ uint64, p *plan) bool { return p.nodes > 1 }}
	groupPlans = profile{name: "groups", fits: func(seed uint64, p *plan) bool { return drawGroups(seed, p).groups > 0 }}
	groupNodes = profile{name: "groups", fits: func(seed uint64, p *plan) bool { return drawGroups(seed, p).groups > 0 && p.nodes > 1 }}
	// Three machines that lose power often, all together as well, with slow syncs,
	// so that what is not synced is lost.
	powerPlans = profile{name: "power", fits: nodePlans.fits, bias: losePower}
	// One machine on which the broker ends often, in every way, without what takes
	// the time of a run.
	crashes = profile{name: "crashes", fits: onePlans.fits, bias: crashOften}
	// The same, with many checkpoints whose syncs take long while others write.
	syncCrashes = profile{name: "syncs", fits: onePlans.fits, bias: func(p *plan) {
		crashOften(p)
		p.chains, p.full, p.crash, p.cut, p.syncError = false, false, []vfs.CrashOptions{{}}, false, false
		p.topics, p.doDelay, p.stutter, p.tasks, p.burst = 3, 10*time.Millisecond, true, 8, time.Millisecond
		p.firstFile, p.file, p.walMax, p.valueMax = 64<<10, 64<<10, 512<<10, 6000
	}}
	chainCrashes = profile{name: "crashes", fits: func(_ uint64, p *plan) bool { return p.chains && p.nodes == 1 }, bias: crashOften}
	groupCrashes = profile{name: "crashes", fits: func(seed uint64, p *plan) bool { return drawGroups(seed, p).groups > 0 && p.nodes == 1 }, bias: crashOften}
	// Clients that lose their connections, and chains that are slow, so that
	// batches are sent again while they run.
	retries = profile{name: "retries", fits: func(_ uint64, p *plan) bool { return p.chains && p.nodes == 1 }, bias: func(p *plan) {
		p.disconnect, p.idem, p.chainDelay, p.outboxBytes = true, 10, 50*time.Millisecond, 1<<20
		p.length, p.faultEvery, p.tier, p.burst = 20*time.Second, 2*time.Second, false, time.Millisecond
	}}
	// Producers that send more than a partition takes at once.
	refusals = profile{name: "refusals", fits: onePlans.fits, bias: func(p *plan) {
		p.length, p.tier, p.chains, p.faultEvery = 20*time.Second, false, false, p.length/5
		p.idem, p.burst, p.valueMax, p.queueBytes, p.doDelay = 10, 100*time.Microsecond, 6000, 16<<10, 10*time.Millisecond
	}}
	// Slow chains that change often, on one broker.
	chainChanges = profile{name: "changes", fits: func(_ uint64, p *plan) bool { return p.chains && p.nodes == 1 }, bias: changeChains}
	// Chains that change often, on brokers that are not started again in the end.
	chainNodes = profile{name: "changes", fits: func(_ uint64, p *plan) bool { return p.chains && p.nodes > 1 }, bias: func(p *plan) {
		p.tier, p.length, p.loadDelay, p.chainDelay = false, 5*time.Second, time.Millisecond, time.Millisecond
	}}
	// Bits that flip while the broker runs and reads from its files.
	flips = profile{name: "flips", fits: func(_ uint64, p *plan) bool { return p.faultEvery > 0 && !p.full }, bias: func(p *plan) {
		p.chains, p.tier, p.tailBytes = false, false, 1
		p.flipLive, p.machineEvery, p.freeze, p.stall, p.clock = true, p.length/50, 0, 0, 0
	}}
	// One machine whose disk is repaired in the end, after a short time without
	// checkpoints.
	repairs = profile{name: "repair", fits: func(_ uint64, p *plan) bool { return p.nodes == 1 && p.repair && !p.full }, bias: func(p *plan) {
		p.length, p.tier, p.chains, p.forced = min(p.length, 20*time.Second), false, false, false
	}}
	// Readers that wait for more.
	pollPlans = profile{name: "polls", fits: func(_ uint64, p *plan) bool { return p.consumers > 0 }}
)

// changeChains is the bias of chainChanges.
func changeChains(p *plan) {
	p.tier, p.length, p.burst, p.idem, p.consumers = false, 5*time.Second, time.Millisecond, 0, 0
	p.loadDelay, p.chainDelay, p.queueBytes = time.Millisecond, 50*time.Millisecond, 1<<20
	p.producers, p.topics, p.batches = 6, 1, 100
}

// crashOften is the bias of crashes.
func crashOften(p *plan) {
	p.length = min(p.length, 20*time.Second)
	p.faultEvery, p.kill, p.cut, p.tier, p.syncError = p.length/40, true, true, false, true
	if len(p.crash) == 0 {
		p.crash = []vfs.CrashOptions{{}}
	}
}

// losePower is the bias of powerPlans.
func losePower(p *plan) {
	if p.nodes == 1 {
		return
	}
	p.nodes, p.chains, p.tier = 3, false, false
	p.length = min(p.length, 20*time.Second)
	p.doDelay, p.burst = 10*time.Millisecond, 20*time.Millisecond
	p.faultEvery, p.crash, p.cut, p.flipWAL, p.flipSegment = p.length/20, []vfs.CrashOptions{{}}, true, false, false
	p.machineEvery, p.together, p.freeze, p.stall, p.clock, p.flipLive = p.length/40, true, 0, 0, 0, false
}

// expectation is what a planted bug breaks: the checkers that may find it, each
// the invariant that the bug is about. What another one finds does not count,
// and a panic never does. A name may be followed by what the message must say, as
// in "W7: passed none".
//
// Runs go on when a broker complains of itself, so that what the bug does to
// clients is seen. But "self: does not start" is all that anybody sees of bugs
// that the broker finds itself when it opens its log.
type expectation struct {
	in profile
	by []string
}

// counts reports whether a violation is one that the bug was to cause.
func (e expectation) counts(v *Violation) bool {
	return slices.ContainsFunc(e.by, func(by string) bool {
		checker, text, _ := strings.Cut(by, ": ")
		return v.Checker == checker && strings.Contains(v.Text, text)
	})
}

func by(in profile, checkers ...string) expectation { return expectation{in, checkers} }

// expected lists what each bug breaks.
var expected = map[mutant.Name]expectation{
	// The log and the disk.
	mutant.ReplyBeforeSync:      by(anyPlan, "L1", "L2", "L7"), // a lost acknowledgement shows first in the high watermark that it told
	mutant.CheckpointBeforeSync: by(anyPlan, "L1", "P1"),
	mutant.CommitFromHardState:  by(anyPlan, "L1", "P1"),
	mutant.TornAsCorrupt:        by(crashes, "self: does not start"), // a broker that refuses its log for nothing: nobody else is there to see it
	mutant.CorruptAsTorn:        by(anyPlan, "L1", "L7"),             // what is cut off was told, records or borders
	mutant.SharedSyncEarly:      by(syncCrashes, "L1", "P1"),
	mutant.UnlinkEarly:          by(anyPlan, "L1"),
	mutant.LogRemovedEarly:      by(anyPlan, "L1", "self: does not start"), // entries are missing that the engine knows must be there
	mutant.BlockRewritten:       by(anyPlan, "L1", "self: does not start"), // what was durable is torn, and the log says so
	mutant.NamesUnsynced:        by(anyPlan, "L1"),
	mutant.OffsetsReused:        by(anyPlan, "L1", "L2", "L3"),
	mutant.TailAsSent:           by(anyPlan, "L2", "L3"),
	mutant.ChecksumUnchecked:    by(flips, "L8"),
	mutant.TimeIndexOff:         by(anyPlan, "L9"),
	mutant.RetentionNeedsSpace:  by(fullPlans, "R3"),
	mutant.NoSpaceForGood:       by(fullPlans, "R3"),
	mutant.RetentionTooMuch:     by(anyPlan, "L1"),
	mutant.RepairNamesLess:      by(repairs, "repair"),
	mutant.RepairLosesMore:      by(repairs, "repair", "L2"), // in the middle of a run its offset is given again

	// Partitions and what is applied.
	mutant.NoDeduplication:     by(anyPlan, "L4"),
	mutant.ProducersForgotten:  by(crashes, "L4"),
	mutant.MarksIgnored:        by(refusals, "L5"),
	mutant.SettingsReadAtApply: by(anyPlan, "P1"),
	mutant.ClockAtApply:        by(anyPlan, "P1"),
	mutant.WrongOffsetTold:     by(anyPlan, "L3"),
	mutant.BatchRewritten:      by(anyPlan, "W1"),
	mutant.WatcherKept:         by(pollPlans, "R2"),
	mutant.DirectoryKept:       by(anyPlan, "R2"),

	// Several nodes.
	mutant.LeadEarly:             by(anyPlan, "L10"),
	mutant.AckBeforeSync:         by(powerPlans, "L1", "L2", "L7"),                   // what was acknowledged is lost, and with it the high watermark that was told
	mutant.SnapshotBeforeDurable: by(powerPlans, "L1", "P1", "self: does not start"), // the log has neither the entries nor the snapshot that replaced them
	mutant.DroppedUnanswered:     by(nodePlans, "R4"),
	mutant.FrameReused:           by(nodePlans, "net"),
	mutant.ReusedReplicaID:       by(nodePlans, "V1: not every partition has a leader"), // two of one id are one voter: no quorum comes together
	mutant.ReusedGroupID:         by(anyPlan, "L1", "L2", "L10", "P1"),

	// Chains and dead letters.
	mutant.GenerationBack:   by(chainPlans, "W7: is refused"), // alone, a broker's own log refuses what its sequencer should not have made
	mutant.ChainsSideBySide: by(chainChanges, "W7: passed none"),
	mutant.MixedGenerations: by(chainChanges, "W6"),
	mutant.ChainToldNow:     by(chainPlans, "W2"),
	mutant.ChainLoadedOnce:  by(chainNodes, "V1"),
	mutant.RefusedLetter:    by(retries, "L6", "W3"),
	mutant.LettersTwice:     by(chainCrashes, "W3"),
	mutant.TrimUndelivered:  by(chainCrashes, "W3"),

	// The cold tier.
	mutant.EvictUnfound:        by(tierPlans, "S1"),
	mutant.EvictUncopied:       by(tierPlans, "S1"),
	mutant.CommitOutOfOrder:    by(tierPlans, "S4"),
	mutant.CommitFailedUpload:  by(tierPlans, "S1"),
	mutant.DiscardWithoutGrace: by(tierPlans, "S3"),
	mutant.DiscardNamed:        by(tierPlans, "S3"),
	mutant.DiscardUnknown:      by(tierFails, "S3"),
	mutant.DropKeepsLogStart:   by(tierPlans, "S1"),
	mutant.ForgetUndeleted:     by(tierPlans, "S3"),
	mutant.ColdReadLate:        by(tierPlans, "S5"),
	mutant.BlocksTrusted:       by(tierPlans, "L8", "S5"),
	mutant.ColdBelowStart:      by(tierPlans, "L7"),
	mutant.TieredCountedTwice:  by(tierPlans, "L1: neither deleted nor expired"),
	mutant.RetentionByLocal:    by(tierPlans, "L1: neither deleted nor expired"),

	// Consumer groups.
	mutant.FencedCommit:       by(groupPlans, "C1"),
	mutant.FencedInstance:     by(groupCrashes, "C1"),
	mutant.AssignedEarly:      by(groupCrashes, "C1"),
	mutant.JoinWithoutEnd:     by(groupPlans, "C3"),
	mutant.GroupsNotReplayed:  by(groupPlans, "C2"),
	mutant.OldTopicOffsets:    by(groupCrashes, "C2"),
	mutant.CommitBeforeAppend: by(groupCrashes, "C2"),
	mutant.OffsetRewound:      by(groupPlans, "C2"),
	mutant.TrimBeforeSnapshot: by(groupCrashes, "C2"),
	mutant.UnknownTopicGone:   by(groupNodes, "C2"),
	mutant.OffsetToldAhead:    by(groupPlans, "C4"),
}
