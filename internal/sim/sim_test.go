package sim

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// number reads a number from the environment.
func number(t *testing.T, name string) (uint64, bool) {
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, text, err)
	}
	return n, true
}

// switchedOff reads VARVE_SIM_WITHOUT, the features that runs do without.
func switchedOff() []string {
	return strings.FieldsFunc(os.Getenv("VARVE_SIM_WITHOUT"), func(r rune) bool { return r == ',' })
}

// report describes a run that broke an invariant.
func report(r *Result) string {
	return fmt.Sprintf("seed %d breaks %v\nplan: %s\n%s\nreplay it with %s",
		r.Seed, r.Violation, r.Plan, strings.Join(r.Last, "\n"), replay(r.Seed, r.Without))
}

// reportSmall describes a run that broke an invariant, and the smallest one found
// that breaks it too, with the trace of that.
func reportSmall(r *Result) string {
	small := shrink(r, shrinkFor)
	return fmt.Sprintf("seed %d breaks %v\nplan: %s\nreplay it with %s\n\nthe smallest run found that breaks %s:\n%s",
		r.Seed, r.Violation, r.Plan, replay(r.Seed, r.Without), r.Violation.Checker, report(&small))
}

// replay is the command that repeats a run.
func replay(seed uint64, without []string) string {
	text := fmt.Sprintf("make sim SEED=%d", seed)
	if len(without) > 0 {
		text += " WITHOUT=" + strings.Join(without, ",")
	}
	return text
}

// shrinkFor is how long a failing seed's plan is made smaller.
const shrinkFor = 20 * time.Second

// TestSeeds runs VARVE_SIM_SEEDS seeds on all cores, or the one that
// VARVE_SIM_SEED names with its whole trace. VARVE_SIM_WITHOUT switches features
// of the plans off, and VARVE_SIM_PLANS leaves out seeds whose plans are not of
// those kinds.
func TestSeeds(t *testing.T) {
	without := switchedOff()
	if seed, ok := number(t, "VARVE_SIM_SEED"); ok {
		r := runPlain(seed, without, os.Stdout)
		t.Logf("hash %x, %+v", r.Hash, r.Stats)
		if r.Violation != nil {
			t.Fatal(reportSmall(&r))
		}
		return
	}
	seeds := uint64(30)
	if n, ok := number(t, "VARVE_SIM_SEEDS"); ok {
		seeds = n
	}
	first, _ := number(t, "VARVE_SIM_FIRST")
	total := spread(t, first, seeds, without)
	for i, r := range total.failed {
		if i >= 5 {
			t.Errorf("seed %d breaks %v", r.Seed, r.Violation)
			continue
		}
		t.Error(reportSmall(&r))
	}
	if seeds >= enoughSeeds && len(without) == 0 && os.Getenv("VARVE_SIM_PLANS") == "" {
		checkFaultsHappen(t, total.stats)
	}
	t.Logf("%d seeds, %d failed: %+v\n%s", seeds, len(total.failed), total.stats, total.byNodes())
}

// runPlain is Run, without some features.
func runPlain(seed uint64, without []string, out io.Writer) Result {
	if len(without) == 0 {
		return Run(seed, out)
	}
	return RunWithout(seed, without, out)
}

// Seeds that found something once, with what it was. Their plans are as they
// were then.
var found = map[uint64]string{
	20758: "a flipped length in a batch's header made a reader step over the rest of the log",
	30693: "files of the write-ahead log took the space that deletion needs on a full disk",
	12940: "restarts in a row used up what the write-ahead log kept for a checkpoint",
	30157: "a batch had no room behind what is kept for a checkpoint until another file of the log was begun, and nothing began one",
}

// Seeds that found something with some features switched off.
var foundWithout = map[uint64]string{
	20024:  "groups,kill,tear,rare", // a flipped bit in the leader epoch of a stored batch was served
	34108:  "rare",                  // and once more
	300464: "groups",                // a repaired batch whose last offset had been wrong got the next leader epoch
	323390: "groups",                // a topic needed room in the log for the partitions that it had already to get one more
	325606: "groups",                // and once more

	// The grace of a deleted topic counted from the tick before the request.
	324154: "groups,cutwrites,expiry,tear,keep,idempotence",

	// A full log did not hear that what it held was committed, and copies took a checkpoint's room.
	902344: "groups,pause,zombies,keep=1MiB,grow,storefails,clean,keep,until=4.677s",

	// A write that ends with its file was reported lost for one wrong bit.
	701727: "groups,rare,nodes,small",
	703325: "nodes,small,lag,net,machines",

	// The damaged first write of a file was reported as the end of another file.
	704432: "groups,netlost,rarefaults,keep=1MiB,storefails,clean,tear,keep",
	708210: "groups,machines,sync",

	// Files that a proven checkpoint had made superfluous filled the log, restart by restart.
	705545: "groups,cutwrites,until=25.223s",

	// A log whose first file was smaller got full before its idle entries were copied.
	1001757: "rare,topics=1,repair,groups,lag,admin,until=5.875s",

	// A retry in order shared the fate of its original, which a dropped batch before it had doomed.
	1006875: "netlost,pause,clock,keep=1MiB,storefails,tear",

	// A stale mark hid the refusal of a batch, and the next one passed it.
	1001474: "groups,syncdir,grow,storefails,sync,keep,until=33.448s",

	// A checkpoint that would have freed the disk waited for more room than it needs.
	1105162: "groups",

	// One of three had a full disk, and one no room for the copy that it needed first.
	1105556: "consumers,groups,storefails,sync,tear,keep",

	// An upload that ended when its broker led no more stayed as an orphan.
	1000473: "groups",

	// The indexes of a copy had no room on disk when it could not be given up any more.
	320849: "rare,groups",
	322956: "rare,groups,clock,together,storefails,kill",
}

// Seeds with a repair that loses something beside a cold tier, chains and groups
// that found something.
var foundWithLosses = map[uint64]string{
	406:     "a segment that a repair made smaller was not in the cold tier any more after a replay",
	891:     "records that were wiped behind others, in the last write of a log file, were taken for padding",
	3765:    "a repair raised the chain generation of a state, and the entries behind it were refused",
	1208764: "with an older checkpoint the report did not say that uploads may be forgotten",
}

// hold runs seeds that found something again, without some features.
func hold(t *testing.T, seeds map[uint64]string, without ...string) {
	t.Helper()
	for seed, what := range seeds {
		if r := runPlain(seed, without, nil); r.Violation != nil {
			t.Errorf("%s: %s", what, report(&r))
		}
	}
}

func TestSeedsWithLossesThatFoundSomething(t *testing.T) {
	hold(t, foundWithLosses, "vanish")
}

// Seeds that found something with some features switched off, since repairs lose
// something beside all else and objects vanish.
var foundSince = map[uint64]string{
	// A checkpoint that would have freed a file had no room for the copies that it takes.
	1403083: "keep=1MiB,kill,clean,tear,until=21.255s",

	// Idle entries at the end of the oldest file were not copied: what is needed was
	// less than half of the log, and the files were full.
	1501951: "rare,groups,flips,storefails,tear,keep,until=6.541s",

	// And on a full disk, where no file could be made for the copies any more.
	1508559: "rare,groups,machines,kill,tear,until=6.52s",
	1506551: "netcuts,syncdir,storefails,sync,kill,clean,tear,keep,until=18.789s",

	// Restarts had used up the log, and the states had grown.
	1602531: "rare,sync,kill,tear,keep,until=9.725s",

	// A producer was forgotten with a batch in flight, which was refused for ever.
	1404517: "groups,machines,rarefaults,cut,clean,tear,keep,until=13.835s",

	// A repair lost the entry that gave up the tier, and local retention trusted the manifest.
	1404151: "consumers,cut,kill,tear,keep",

	// A retry of a batch that a repair had lost was told its offset.
	20802: "repair,cutwrites,clean,tear,keep",

	// Batches whose producer's last one was lost by a repair must stand when they are applied again.
	20118: "together,flips,tear,keep,until=52.703s",

	// A leader that had been replaced said that objects are gone which its successor deleted.
	20128: "rare,groups,clean,keep,until=52.747s",
}

func TestSeedsThatFoundSomethingWithLess(t *testing.T) {
	for seed, without := range foundWithout {
		holdOne(t, seed, without+",losses,vanish")
	}
	for seed, without := range foundSince {
		holdOne(t, seed, without)
	}
}

// holdOne runs a seed without some features, separated by commas.
func holdOne(t *testing.T, seed uint64, without string) {
	t.Helper()
	if r := runPlain(seed, strings.Split(without, ","), nil); r.Violation != nil {
		t.Error(report(&r))
	}
}

func TestSeedsThatFoundSomething(t *testing.T) {
	hold(t, found, "later", "vanish")
}

// Seeds with several nodes that found something. Their plans had no small disks,
// small logs, rare faults and groups then.
var foundWithNodes = map[uint64]string{
	106:  "objects of a deleted topic were forgotten by a controller that held no replica of it",
	268:  "the directory that a replica left for another one's state was never removed",
	2270: "the error of an upload was shown for ever when copying was switched off",
	81:   "entries that a newer leader replaced held a follower's write-ahead log",
	5001: "a segment that a batch closed below the log start stayed until the log start moved again",
	7370: "a repair that lost the entries that had moved a local log start seemed to move it back (one node)",
	7430: "the file of a segment that was given up while it was written stayed until something else was applied",

	31663:  "the cut of a closed segment's padding was lost by a failed sync, and not made again because it seemed to be there",
	311422: "a retry that was refused after its batch was appended held up a producer that was forgotten since",
	321013: "a coordinator that was replaced while its machine stood still told old offsets",
}

// Seeds with several nodes, small logs and small disks that found something. The
// rare faults came later.
var foundWithSmall = map[uint64]string{
	200665: "a follower without room on its disk took all that its leader sent, and could not write it",
	200858: "what was deleted stayed on the disks of followers that nobody asked for space",
	201486: "the disk had no room for the next file of a write-ahead log",
	201953: "a replica on a full disk had no room for the copy that would have told it what was deleted",
	202629: "the indexes of a copy's segments had no room",
	211428: "a late write of a replica that was replaced made its directory again",
	230593: "a leader did not hear that a follower had its entries, because that had no room to be sent them again",
	230711: "entries without a quorum filled a log of two files, and were too many to be copied forward",
	250056: "small entries were counted as a block each, and so not copied forward",
	300503: "the file that a restart made of the write-ahead log took what the segments needed on a full disk",
}

func TestSeedsWithSmallDisksThatFoundSomething(t *testing.T) {
	hold(t, foundWithSmall, "groups", "rare", "losses", "vanish")
}

func TestSeedsOfSeveralNodesThatFoundSomething(t *testing.T) {
	hold(t, foundWithNodes, "groups", "small", "rare", "losses", "vanish")
}

func TestSameSeedSameTrace(t *testing.T) {
	several := 0
	for seed := uint64(1); seed <= 16; seed++ {
		a, b := Run(seed, nil), Run(seed, io.Discard)
		if a.Hash != b.Hash {
			t.Errorf("seed %d: trace hashes %x and %x", seed, a.Hash, b.Hash)
		}
		if a.Nodes > 1 && a.Stats.Acked > 0 {
			several++
		}
	}
	if several < 4 {
		t.Errorf("only %d of the runs had several nodes that took batches", several)
	}
}

// Every feature that a plan can do without is one.
func TestFeaturesHaveNames(t *testing.T) {
	for _, f := range features {
		p := draw(7)
		if err := p.switchOff([]string{f.name}); err != nil {
			t.Error(err)
		}
	}
	if err := draw(7).switchOff([]string{"nothing"}); err == nil {
		t.Error("an unknown feature was switched off")
	}
}
