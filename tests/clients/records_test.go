//go:build clients

package clients

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/varvelog/varve/tests/clients/scenario"
)

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

const (
	// partitions of a topic of the matrix: two for every codec, and many that
	// have one record each.
	partitions = 32
	// megabyte is the length of the long values.
	megabyte = 1_000_000

	firstTime = 1_700_000_000_000
	dated     = 10 // records with timestamps of their own, a second apart
)

// runs returns what a client writes to its topic in the matrix.
func runs(topic string) []scenario.Run {
	rng := rand.New(rand.NewPCG(1, 2))
	var out []scenario.Run
	for i, codec := range codecs {
		r := scenario.Run{Topic: topic, Codec: codec, Idempotent: i%2 == 0}
		r.Records = append(various(int32(2*i), rng), dates(int32(2*i+1))...)
		out = append(out, r)
	}
	wide := scenario.Run{Topic: topic, Codec: "none", Idempotent: true}
	for p := 2 * len(codecs); p < partitions; p++ {
		wide.Records = append(wide.Records, scenario.Record{
			Partition: int32(p), Key: []byte("partition"), Value: fmt.Append(nil, p),
		})
	}
	return append(out, wide)
}

// various returns records of every shape.
func various(partition int32, rng *rand.Rand) []scenario.Record {
	var out []scenario.Record
	for i := range 20 {
		out = append(out, scenario.Record{Key: fmt.Appendf(nil, "key %d", i%5), Value: fmt.Appendf(nil, "value %d", i)})
	}
	// Not UTF-8, no line, and none of the bytes 0 to 31, which kcat's command
	// line cannot have.
	raw := make([]byte, 200)
	for i := range raw {
		raw[i] = byte(32 + rng.IntN(224))
	}
	long := make([]byte, megabyte)
	for i := range long {
		// Half of it repeats, so that it gets smaller but not small.
		long[i] = byte('a' + i%16)
		if i/1000%2 == 0 {
			long[i] = byte(rng.IntN(256))
		}
	}
	out = append(out,
		scenario.Record{Key: raw, Value: raw},
		scenario.Record{Key: []byte("no value")},
		scenario.Record{Value: []byte("no key")},
		scenario.Record{Key: []byte("empty value"), Value: []byte{}},
		scenario.Record{Key: []byte{}, Value: []byte("empty key")},
		scenario.Record{Key: []byte("headers"), Value: []byte("in order, twice, null and empty"), Headers: []scenario.Header{
			{Name: "b", Value: []byte("1")}, {Name: "a", Value: []byte("2")}, {Name: "b", Value: []byte("3")},
			{Name: "b", Value: []byte("3")}, {Name: "null"}, {Name: "empty", Value: []byte{}},
			{Name: "é", Value: raw[:20]},
		}},
		scenario.Record{Key: []byte("long"), Value: long},
		scenario.Record{Key: []byte("last"), Value: bytes.Repeat([]byte("0123456789"), 1000)},
	)
	for i := range out {
		out[i].Partition = partition
	}
	return out
}

// dates returns records with timestamps.
func dates(partition int32) []scenario.Record {
	var out []scenario.Record
	for i := range dated {
		out = append(out, scenario.Record{
			Partition: partition, Value: fmt.Appendf(nil, "second %d", i), Timestamp: int64(firstTime + 1000*i),
		})
	}
	return out
}

// fitKcat takes away what kcat has no option for.
func fitKcat(r scenario.Record) scenario.Record {
	r.Timestamp = 0
	return r
}

// fitKafkajs brings headers of one name together, because they are an object
// with an array where a name has several values, and empties the null values,
// which kafkajs cannot encode.
func fitKafkajs(r scenario.Record) scenario.Record {
	var out []scenario.Header
	done := map[string]bool{}
	for _, h := range r.Headers {
		if done[h.Name] {
			continue
		}
		done[h.Name] = true
		for _, same := range r.Headers {
			if same.Name == h.Name {
				same.Value = append([]byte{}, same.Value...)
				out = append(out, same)
			}
		}
	}
	r.Headers = out
	return r
}

// fitted returns the runs with records that a client can send.
func (c client) fitted(runs []scenario.Run) []scenario.Run {
	if c.fit == nil {
		return runs
	}
	for i := range runs {
		for j, r := range runs[i].Records {
			runs[i].Records[j] = c.fit(r)
		}
	}
	return runs
}
