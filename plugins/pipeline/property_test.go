package pipeline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm/abi"
)

// trial is a random batch, chain and script.
type trial struct {
	in      Input
	records []record.Record
	stages  []Stage
	scripts [][]answer // by stage and record
}

func newTrial(t testing.TB, seed uint64) *trial {
	r := rand.New(rand.NewPCG(seed, 1))
	n := 1 + r.IntN(40)
	if seed%40 == 0 {
		n = 1 + r.IntN(2500)
	}
	most := 100
	if seed%10 == 5 {
		most = 100_000
	}
	x := &trial{records: make([]record.Record, n)}
	for i := range x.records {
		x.records[i] = record.Record{TimestampDelta: r.Int64N(100) - 20, Attributes: int8(r.IntN(2)), Key: randomPart(r, 10), Value: randomPart(r, most), Headers: randomHeaders(r)}
	}
	codec := codecs[r.IntN(len(codecs))]
	x.in = clientBatch(t, codec, r.IntN(2) == 0, x.records)
	x.in.Codec = codecs[r.IntN(len(codecs))]
	bad := []float64{0, 0.02, 0.3}[r.IntN(3)]
	for i := range 1 + r.IntN(3) {
		s := stageOf(fmt.Sprintf("s%d", i), nil, func(s *Stage) {
			s.Hook = abi.Hook(r.IntN(2))
			s.Parts, s.Tombstones = abi.Parts(r.IntN(16)), r.IntN(2) == 0
			s.Spec.OnFailure = plugins.Policy(r.IntN(4))
			s.Spec.DeadLetter.Payload = plugins.Payload(r.IntN(2))
			s.Spec.Sensitive = s.Spec.OnFailure != plugins.OnFailurePass && r.IntN(3) == 0
		})
		script := make([]answer, n)
		for j := range script {
			script[j] = randomAnswer(r, s.Hook, bad)
		}
		if r.IntN(4) == 0 {
			x.in.Open |= 1 << i
		}
		x.stages, x.scripts = append(x.stages, s), append(x.scripts, script)
	}
	return x
}

// chain returns the trial's chain with guests of its own.
func (x *trial) chain(t testing.TB) *Chain {
	stages := slices.Clone(x.stages)
	for i := range stages {
		stages[i].Guest = &native{t: t, do: func(r *seen) answer { return x.scripts[i][r.index] }}
	}
	return New(testTopic, stages, Options{})
}

func (x *trial) model() *model {
	m := &model{topic: testTopic}
	for _, r := range x.records {
		m.records = append(m.records, modelRecord{Record: r, first: r})
	}
	for i := range m.records {
		m.records[i].first.Attributes = 0
	}
	for i := range x.stages {
		m.stage(&x.stages[i], x.in.Open>>i&1 != 0, func(index int) answer { return x.scripts[i][index] })
		for j := range m.records {
			m.records[j].first.Attributes = 0
		}
	}
	return m
}

func TestAgainstModel(t *testing.T) {
	trials := uint64(400)
	if testing.Short() {
		trials = 200
	}
	refused, rebuilt, letters := 0, 0, 0
	for seed := range trials {
		x := newTrial(t, seed)
		out := run(t, x.chain(t), x.in)
		if got, want := summaryOf(t, &out), x.model().summary(); got != want {
			t.Fatalf("seed %d, %d records:\n%.3000s\nwant\n%.3000s", seed, len(x.records), got, want)
		}
		if out.Refusal != nil {
			refused++
		} else if !out.Unchanged {
			rebuilt++
		}
		letters += len(out.Emissions)
	}
	if few := int(trials) / 10; refused < few || rebuilt < few || letters < 2*few {
		t.Fatalf("the trials cover too little: %d refused, %d rebuilt, %d letters", refused, rebuilt, letters)
	}
}

// TestDeterminism: the same input gives the same output, also when other batches
// run at the same time and buffers are used again.
func TestDeterminism(t *testing.T) {
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for seed := range uint64(30) {
				x := newTrial(t, 1001+(seed+uint64(worker)*7)%30)
				first, err1 := x.chain(t).Run(x.in)
				second, err2 := x.chain(t).Run(x.in)
				if err1 != nil || err2 != nil || !bytes.Equal(first.Batch, second.Batch) || !reflect.DeepEqual(first, second) {
					t.Errorf("seed %d: %+v, %v\nthen %+v, %v", seed, first, err1, second, err2)
				}
			}
		})
	}
	wg.Wait()
}
