package broker

import (
	"bytes"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/tiering/objstore"
)

// S1: an object that somebody deleted from the bucket while its segment is on the
// local disk costs nothing: after a restart the segment stays there, the operator is
// told, and local retention goes on when the object is back.
func TestS1ObjectDeletedFromTheBucket(t *testing.T) {
	c := newCold(t)
	c.topic("t", map[string]string{"local.retention.bytes": "-1"})
	values := c.produce("t", 0, 800)
	c.wait("offload", func(p admin.TierPartition) bool { return p.Segments > 3 && p.PendingSegments == 0 })
	c.end(t)

	objects, err := c.store.List(t.Context(), "", "", 100)
	if err != nil || len(objects) < 4 {
		t.Fatalf("%d objects: %v", len(objects), err)
	}
	second := objects[1] // keys are in the order of offsets
	kept := make([]byte, second.Size)
	if err := c.store.GetRange(t.Context(), second.Key, 0, kept); err != nil {
		t.Fatal(err)
	}
	if err := c.store.Delete(t.Context(), second.Key); err != nil {
		t.Fatal(err)
	}

	c.start()
	defer c.end(t)
	local := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "local.retention.bytes", Value: kadm.StringPtr("1")}}
	if _, err := c.admin().AlterTopicConfigs(t.Context(), local, "t"); err != nil {
		t.Fatal(err)
	}
	p := c.wait("a warning", func(p admin.TierPartition) bool {
		return strings.Contains(p.Error, "is gone") && p.LocalLogStartOffset > 0
	})
	if p.LocalLogStartOffset >= p.TieredEndOffset {
		t.Errorf("what is behind the first object leaves the disk: %+v", p)
	}
	c.read("t", 0, values)

	if _, err := c.store.Put(t.Context(), second.Key, bytes.NewReader(kept), second.Size, objstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	p = c.wait("the local disk", func(p admin.TierPartition) bool {
		return p.LocalLogStartOffset == p.TieredEndOffset && p.PendingSegments == 0
	})
	if p.Error != "" {
		t.Errorf("%+v", p)
	}
	c.read("t", 0, values)
}
