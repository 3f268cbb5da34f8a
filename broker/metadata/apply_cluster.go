package metadata

import (
	"fmt"
	"math"
)

func (c RegisterBroker) apply(ch *change) error {
	if c.NodeID < 0 || c.Host == "" || len(c.Host) > MaxName || len(c.Rack) > MaxName ||
		c.Port < 1 || c.Port > math.MaxUint16 || c.DirectoryID == [16]byte{} {
		return fmt.Errorf("register broker %d: %w", c.NodeID, ErrInvalidBroker)
	}
	b := &Broker{NodeID: c.NodeID, DirectoryID: c.DirectoryID, Host: c.Host, Port: c.Port, Rack: c.Rack, Version: ch.index}
	previous, ok := ch.next.brokers.get(c.NodeID)
	if ok {
		if err := conflict(c, previous.Version); err != nil {
			return fmt.Errorf("register broker %d: %w", c.NodeID, err)
		}
		same := *b
		same.Version = previous.Version
		if same == *previous {
			return nil
		}
	} else if ch.next.brokers.size >= MaxBrokers {
		return fmt.Errorf("register broker %d: %w: %d brokers", c.NodeID, ErrLimit, MaxBrokers)
	}
	ch.next.brokers = ch.next.brokers.with(c.NodeID, b)
	ch.emit(BrokerChanged{Broker: b, Previous: previous})
	return nil
}

func (c AllocateProducerIDs) apply(ch *change) error {
	if c.Count < 1 || c.Count > MaxProducerIDBlock {
		return fmt.Errorf("allocate producer ids: %w: %d", ErrInvalidCount, c.Count)
	}
	if _, ok := ch.next.brokers.get(c.By); !ok {
		return fmt.Errorf("allocate producer ids: %w: %d", ErrUnknownBroker, c.By)
	}
	if err := conflict(c, ch.next.producerIDsVersion); err != nil {
		return fmt.Errorf("allocate producer ids: %w", err)
	}
	first := ch.next.nextProducerID
	if first > math.MaxInt64-int64(c.Count) {
		return fmt.Errorf("allocate producer ids: %w: %d given away", ErrLimit, first)
	}
	ch.next.nextProducerID = first + int64(c.Count)
	ch.next.producerIDsVersion = ch.index
	ch.result.ProducerIDs = ProducerIDBlock{First: first, Count: c.Count}
	ch.emit()
	return nil
}

func (c SetFeature) apply(ch *change) error {
	if c.Name == "" || len(c.Name) > MaxName || c.Level < 0 {
		return fmt.Errorf("set feature: %w: %.260q level %d", ErrInvalidFeature, c.Name, c.Level)
	}
	f, ok := ch.next.features.get(c.Name)
	changed := ch.next.featuresRemoved
	if ok {
		changed = f.Version
	}
	if err := conflict(c, changed); err != nil {
		return fmt.Errorf("set feature %s: %w", c.Name, err)
	}
	if c.Level == ch.next.Feature(c.Name) {
		return nil
	}
	if c.Level == 0 {
		ch.next.features = ch.next.features.without(c.Name)
		ch.next.featuresRemoved = ch.index
	} else {
		if !ok && ch.next.features.size >= MaxFeatures {
			return fmt.Errorf("set feature %s: %w: %d features", c.Name, ErrLimit, MaxFeatures)
		}
		ch.next.features = ch.next.features.with(c.Name, &Feature{Name: c.Name, Level: c.Level, Version: ch.index})
	}
	ch.emit(FeatureChanged{Name: c.Name, Level: c.Level})
	return nil
}

func (c SetLimits) apply(ch *change) error {
	if err := c.Limits.Check(); err != nil {
		return fmt.Errorf("set limits: %w", err)
	}
	if err := conflict(c, ch.next.limitsVersion); err != nil {
		return fmt.Errorf("set limits: %w", err)
	}
	if c.Limits != ch.next.limits {
		ch.next.limits, ch.next.limitsVersion = c.Limits, ch.index
		ch.emit(LimitsChanged{Limits: c.Limits})
	}
	return nil
}
