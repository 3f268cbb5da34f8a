package sim

// checkTopics: M1. Topics are there if they were created, and are not if they
// were deleted.
func (s *run) checkTopics(b *broker) {
	image := b.node.Image()
	for _, t := range s.model.topics {
		_, there := image.TopicByID(t.id)
		if there != (t.state == live) && (t.state == live || t.state == deleted) {
			s.fail("M1", "topic %s (%x) is %v, in the image of broker %d: %v", t.name, t.id[:4], t.state, b.server.id, there)
		}
	}
}
