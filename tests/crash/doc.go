// Package crash kills the real broker under load from a real client and judges
// what is left: records lost, duplicated, reordered, or at another offset than
// the producer was told, dead letters lost or doubled, group offsets lost or
// moved back.
//
// The broker is built with the tag `failpoints` (package failpoint). It dies
// from outside at a random time, from inside at a random time with a part of its
// unsynced writes lost, or at a named place, with and without that loss.
//
// A siege is a broker in one data directory that dies again and again. What it
// keeps is judged in chapters of some rounds, each with topics of its own, so
// that the memory of a test does not grow with its rounds.
//
// Variables of the environment:
//
//	VARVE_CRASH_ROUNDS  how often each test kills the broker; 1 if unset
//	VARVE_CRASH_SEED    seed of the choice of places; the log of a test names it
//	VARVE_CRASH_POINT   NAME or NAME:N: die nowhere else. A broker is still killed
//	                    at random times, a repair is not. The first start and the
//	                    rebuild die at the first pass of the place, if they have it
//
// TestCrashAll makes up to 60 rounds even if fewer are asked for. With at least a
// hundred rounds each test fails if one of its places was never reached.
//
// What kill -9 cannot show, a disk that loses what was not synced, is shown by
// taking such writes back before the process dies. A disk that damages what was
// synced is shown by TestCrashRepair: it damages the directory of a broker that was
// killed and has `varve repair` mend it, which it kills too.
package crash
