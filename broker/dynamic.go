package broker

import (
	"sync"
	"sync/atomic"

	"github.com/varvelog/varve/broker/config"
)

// dynamicSettings are the broker's settings with what was altered while the
// cluster runs (IncrementalAlterConfigs of a broker resource). They follow the
// cluster metadata: whoever asks gets those of the newest image.
type dynamicSettings struct {
	now atomic.Pointer[settingsAt]
	mu  sync.Mutex // one makes new ones
}

// settingsAt are the settings of one version of the cluster's.
type settingsAt struct {
	version uint64
	s       *config.Broker
}

// settings returns the settings that hold now. Any goroutine may call it. What
// is read only at start is as it was then.
func (b *Broker) settings() *config.Broker {
	d := &b.dynamic
	if b.node == nil { // being opened: the metadata is not known yet
		return b.s
	}
	img := b.node.Image()
	if at := d.now.Load(); at != nil && at.version == img.BrokerConfigsVersion() {
		return at.s
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	img = b.node.Image()
	if at := d.now.Load(); at != nil && at.version >= img.BrokerConfigsVersion() {
		return at.s
	}
	kvs := make([]config.KV, 0, len(img.BrokerConfigs()))
	for _, o := range img.BrokerConfigs() {
		kvs = append(kvs, config.KV{Name: o.Name, Value: o.Value})
	}
	s, _, err := b.s.WithDynamic(kvs)
	if err != nil { // accepted once, but the configuration of this start contradicts
		b.c.Log.Error("altered settings do not fit those of this start and are not used", "error", err)
		s = b.s
	}
	d.now.Store(&settingsAt{img.BrokerConfigsVersion(), s})
	b.follow(s)
	return s
}

// follow passes settings to those who do not ask.
func (b *Broker) follow(s *config.Broker) {
	b.tier.uploadRate.SetLimit(s.RemoteCopyBytesPerSec)
	b.tier.readRate.SetLimit(s.RemoteFetchBytesPerSec)
	if b.c.SetLogLevel != nil {
		b.c.SetLogLevel(s.LogLevel)
	}
}
