package metadata

// The encoding side of every command, in the order of their kinds.

// Kind returns KindCreateTopic.
func (c CreateTopic) Kind() Kind { return KindCreateTopic }

// Append implements Command.
func (c CreateTopic) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c CreateTopic) expect() uint64 { return c.ExpectVersion }

func (c CreateTopic) encode(e *encoder) {
	e.str("topic name", c.Name, MaxTopicName)
	e.raw(c.TopicID[:])
	e.u32(uint32(c.Partitions))
	e.u16(uint16(c.ReplicationFactor))
	e.boolean(c.Internal)
	e.u64(uint64(c.TimeMs))
	e.assignments(c.Assignments)
	e.configs(c.Configs)
}

// Kind returns KindDeleteTopic.
func (c DeleteTopic) Kind() Kind { return KindDeleteTopic }

// Append implements Command.
func (c DeleteTopic) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c DeleteTopic) expect() uint64 { return c.ExpectVersion }

func (c DeleteTopic) encode(e *encoder) {
	e.raw(c.TopicID[:])
	e.boolean(c.Tiered)
	e.u64(uint64(c.TimeMs))
}

// Kind returns KindCreatePartitions.
func (c CreatePartitions) Kind() Kind { return KindCreatePartitions }

// Append implements Command.
func (c CreatePartitions) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c CreatePartitions) expect() uint64 { return c.ExpectVersion }

func (c CreatePartitions) encode(e *encoder) {
	e.raw(c.TopicID[:])
	e.u32(uint32(c.Total))
	e.assignments(c.Assignments)
}

// Kind returns KindSetTopicConfigs.
func (c SetTopicConfigs) Kind() Kind { return KindSetTopicConfigs }

// Append implements Command.
func (c SetTopicConfigs) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c SetTopicConfigs) expect() uint64 { return c.ExpectVersion }

func (c SetTopicConfigs) encode(e *encoder) {
	e.raw(c.TopicID[:])
	e.configs(c.Set)
	e.names(c.Remove)
}

// Kind returns KindSetBrokerConfigs.
func (c SetBrokerConfigs) Kind() Kind { return KindSetBrokerConfigs }

// Append implements Command.
func (c SetBrokerConfigs) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c SetBrokerConfigs) expect() uint64 { return c.ExpectVersion }

func (c SetBrokerConfigs) encode(e *encoder) {
	e.configs(c.Set)
	e.names(c.Remove)
}

// Kind returns KindAllocateProducerIDs.
func (c AllocateProducerIDs) Kind() Kind { return KindAllocateProducerIDs }

// Append implements Command.
func (c AllocateProducerIDs) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c AllocateProducerIDs) expect() uint64 { return c.ExpectVersion }

func (c AllocateProducerIDs) encode(e *encoder) {
	e.u32(uint32(c.Count))
	e.u32(uint32(c.By))
}

// Kind returns KindRegisterBroker.
func (c RegisterBroker) Kind() Kind { return KindRegisterBroker }

// Append implements Command.
func (c RegisterBroker) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c RegisterBroker) expect() uint64 { return c.ExpectVersion }

func (c RegisterBroker) encode(e *encoder) {
	e.u32(uint32(c.NodeID))
	e.raw(c.DirectoryID[:])
	e.str("host", c.Host, MaxName)
	e.u32(uint32(c.Port))
	e.str("rack", c.Rack, MaxName)
}

// Kind returns KindSetFeature.
func (c SetFeature) Kind() Kind { return KindSetFeature }

// Append implements Command.
func (c SetFeature) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c SetFeature) expect() uint64 { return c.ExpectVersion }

func (c SetFeature) encode(e *encoder) {
	e.str("feature name", c.Name, MaxName)
	e.u16(uint16(c.Level))
}

// Kind returns KindPutPlugin.
func (c PutPlugin) Kind() Kind { return KindPutPlugin }

// Append implements Command.
func (c PutPlugin) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c PutPlugin) expect() uint64 { return c.ExpectVersion }

func (c PutPlugin) encode(e *encoder) {
	e.str("plugin name", c.Name, MaxName)
	e.str("plugin version", c.Version, MaxName)
	e.raw(c.Digest[:])
	e.u64(uint64(c.Size))
	e.blob("plugin specification", c.Spec, MaxSpec)
}

// Kind returns KindDeletePlugin.
func (c DeletePlugin) Kind() Kind { return KindDeletePlugin }

// Append implements Command.
func (c DeletePlugin) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c DeletePlugin) expect() uint64 { return c.ExpectVersion }

func (c DeletePlugin) encode(e *encoder) {
	e.str("plugin name", c.Name, MaxName)
	e.str("plugin version", c.Version, MaxName)
}

// Kind returns KindPutStage.
func (c PutStage) Kind() Kind { return KindPutStage }

// Append implements Command.
func (c PutStage) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c PutStage) expect() uint64 { return c.ExpectVersion }

func (c PutStage) encode(e *encoder) {
	e.str("stage name", c.Name, MaxName)
	e.str("plugin name", c.Plugin, MaxName)
	e.str("plugin version", c.PluginVersion, MaxName)
	e.blob("stage specification", c.Spec, MaxSpec)
}

// Kind returns KindDeleteStage.
func (c DeleteStage) Kind() Kind { return KindDeleteStage }

// Append implements Command.
func (c DeleteStage) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c DeleteStage) expect() uint64 { return c.ExpectVersion }

func (c DeleteStage) encode(e *encoder) {
	e.str("stage name", c.Name, MaxName)
}

// Kind returns KindSetLimits.
func (c SetLimits) Kind() Kind { return KindSetLimits }

// Append implements Command.
func (c SetLimits) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c SetLimits) expect() uint64 { return c.ExpectVersion }

func (c SetLimits) encode(e *encoder) {
	e.limits(c.Limits)
}

// Kind returns KindForgetTopic.
func (c ForgetTopic) Kind() Kind { return KindForgetTopic }

// Append implements Command.
func (c ForgetTopic) Append(dst []byte) ([]byte, error) { return appendCommand(dst, c) }

func (c ForgetTopic) expect() uint64 { return c.ExpectVersion }

func (c ForgetTopic) encode(e *encoder) {
	e.raw(c.TopicID[:])
}
