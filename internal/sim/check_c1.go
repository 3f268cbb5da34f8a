package sim

// checkTopics: C1. Topics are there if they were created, and are not if they
// were deleted.
func (s *run) checkTopics() {
	image := s.broker.node.Image()
	for _, t := range s.model.topics {
		_, there := image.TopicByID(t.id)
		if there != (t.state == live) && (t.state == live || t.state == deleted) {
			s.fail("C1", "topic %s (%x) is %v, in the image: %v", t.name, t.id[:4], t.state, there)
		}
	}
}
