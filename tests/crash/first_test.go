package crash

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/tests/broker"
)

// TestCrashFirstStart kills the broker at each place of its first start in an
// empty directory, with power loss, and in a
// long run also without. The next start serves.
func TestCrashFirstStart(t *testing.T) {
	bin := taggedBroker(t)
	a := newTally("first", firstPoints)
	for i, point := range allowed(firstPoints) {
		for power := range 2 {
			if power == 0 && crashRounds(t) < roundsForAll {
				continue
			}
			plan := plan{at: string(point) + ":1", power: uint64(power * (i + 1))}
			o := broker.Options{Bin: bin, Dir: t.TempDir(), Settings: []string{"log.level=warn"}, Port: broker.FreePort(t), Env: plan.env()}
			p := broker.Launch(t, o)
			<-p.Ended()
			if died := line(p.Log(), "failpoint: died at "); died != string(point) {
				t.Errorf("%v: ended with %v\n%s", plan, p.State(), p.Log())
				continue
			}
			a.hit[point]++
			a.rounds++
			o.Env = nil
			p = broker.Start(t, o)
			create(t, o.Port, "first", 1)
			cl := client(t, o.Port)
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "first", Value: fmt.Append(nil, plan)}).FirstErr(); err != nil {
				t.Errorf("%v: %v", plan, err)
			}
			cl.Close()
			p.Stop(t)
		}
	}
	a.judge(t, a.rounds)
}
