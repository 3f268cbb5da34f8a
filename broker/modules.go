package broker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins/builtin"
	"github.com/varvelog/varve/plugins/registry"
)

// modulesTopic holds uploaded modules as chunks (D9): key DIGEST/CHUNK/CHUNKS,
// value the bytes.
const modulesTopic = "__plugin_modules"

// moduleChunkBytes keeps a chunk's batch below the default of max.message.bytes.
const moduleChunkBytes = 512 << 10

// moduleStore keeps modules in the broker's own log. The built-in ones come with
// the binary.
type moduleStore struct {
	b       *Broker
	builtin map[registry.Digest][]byte
}

func newModuleStore(b *Broker) *moduleStore {
	s := &moduleStore{b: b, builtin: map[registry.Digest][]byte{}}
	for _, m := range builtin.Modules() {
		s.builtin[sha256.Sum256(m.Bytes)] = m.Bytes
	}
	return s
}

// Get implements registry.Blobs.
func (s *moduleStore) Get(ctx context.Context, d registry.Digest) ([]byte, error) {
	if bin, ok := s.builtin[d]; ok {
		return bin, nil
	}
	p, err := s.partition()
	if err != nil {
		return nil, err
	}
	chunks := map[int][]byte{}
	prefix := hex.EncodeToString(d[:]) + "/"
	o, err := p.Offsets()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", modulesTopic, err)
	}
	want := 0
	for at := o.LogStart; at < o.HighWatermark && ctx.Err() == nil; {
		c, err := p.Read(at, o.HighWatermark, 4<<20, true)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", modulesTopic, err)
		}
		if err := eachRecord(c.Buffers, func(r *record.Record) error {
			rest, ok := strings.CutPrefix(string(r.Key), prefix)
			if !ok {
				return nil
			}
			number, total, ok := parseChunk(rest)
			if !ok {
				return fmt.Errorf("%w: chunk %s", registry.ErrDigest, r.Key)
			}
			want, chunks[number] = total, r.Value
			return nil
		}); err != nil {
			return nil, err
		}
		at = c.NextOffset
	}
	if want == 0 || len(chunks) != want {
		return nil, fmt.Errorf("%w: %x (%d of %d chunks)", registry.ErrUnknown, d, len(chunks), want)
	}
	var bin []byte
	for i := range want {
		bin = append(bin, chunks[i]...)
	}
	return bin, ctx.Err()
}

func parseChunk(s string) (number, total int, ok bool) {
	a, b, ok := strings.Cut(s, "/")
	number, err1 := strconv.Atoi(a)
	total, err2 := strconv.Atoi(b)
	return number, total, ok && err1 == nil && err2 == nil && number >= 0 && number < total && total <= 1<<16
}

// eachRecord decodes the records of whole batches. Values are copies.
func eachRecord(buffers [][]byte, f func(*record.Record) error) error {
	var all []byte
	for _, b := range buffers {
		all = append(all, b...)
	}
	for batch, err := range record.Batches(all) {
		if err != nil {
			return err
		}
		if err := record.ForEach(batch, 0, func(r *record.Record) error {
			own := *r
			own.Key, own.Value = append([]byte(nil), r.Key...), append([]byte(nil), r.Value...)
			return f(&own)
		}); err != nil {
			return err
		}
	}
	return nil
}

// Put keeps a module. It returns when it is durable.
func (s *moduleStore) Put(ctx context.Context, bin []byte) error {
	d := sha256.Sum256(bin)
	if _, err := s.Get(ctx, d); err == nil {
		return nil
	}
	if err := s.makeTopic(ctx); err != nil {
		return err
	}
	p, err := s.partition()
	if err != nil {
		return err
	}
	total := (len(bin) + moduleChunkBytes - 1) / moduleChunkBytes
	for i := range total {
		chunk := bin[i*moduleChunkBytes : min((i+1)*moduleChunkBytes, len(bin))]
		key := fmt.Sprintf("%x/%d/%d", d, i, total)
		if err := s.append(ctx, p, record.Record{Key: []byte(key), Value: chunk}); err != nil {
			return fmt.Errorf("keep module %x: %w", d, err)
		}
	}
	return nil
}

// append writes one record into the log and waits until it is durable.
func (s *moduleStore) append(ctx context.Context, p *partition.Partition, r record.Record) error {
	a, err := partition.NewAppend([]record.Record{r}, s.b.c.Now().UnixMilli())
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	a.Done = func(a *partition.Append) { done <- a.Err }
	s.b.owner.post(func(*node.Node) { p.Produce(a) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *moduleStore) partition() (*partition.Partition, error) {
	t, ok := s.b.node.Image().Topic(modulesTopic)
	if !ok {
		return nil, registry.ErrUnknown
	}
	r := s.b.node.Replica(ident.Partition{Topic: t.ID})
	switch {
	case r == nil:
		return nil, registry.ErrUnknown
	case r.Partition == nil:
		return nil, r.Err
	}
	return r.Partition, nil
}

func (s *moduleStore) makeTopic(ctx context.Context) error {
	var id ident.TopicID
	rand.Read(id[:])
	r, err := s.b.command(ctx, metadata.CreateTopic{
		Name: modulesTopic, TopicID: id, Partitions: 1, ReplicationFactor: 1, Internal: true,
		Configs: []metadata.KV{{Name: "cleanup.policy", Value: "compact"}}, TimeMs: s.b.c.Now().UnixMilli(),
	})
	if err == nil && r.Err != nil && !errors.Is(r.Err, metadata.ErrTopicExists) {
		err = r.Err
	}
	return err
}

// command proposes a metadata command and waits for its outcome.
func (b *Broker) command(ctx context.Context, c metadata.Command) (metadata.Result, error) {
	done := make(chan metadata.Result, 1)
	b.owner.post(func(n *node.Node) { n.Command(c, func(r metadata.Result) { done <- r }) })
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		return metadata.Result{}, ctx.Err()
	}
}
