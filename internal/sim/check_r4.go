package sim

import "fmt"

// answeredOnce: R4. A request gets one answer. It notes that it got one now.
func (s *run) answeredOnce(answered *bool, format string, args ...any) {
	if *answered {
		s.fail("R4", "%s is answered twice", fmt.Sprintf(format, args...))
	}
	*answered = true
}

// checkAnswered: R4. Nothing waits for an answer when all is quiet.
func (s *run) checkAnswered() {
	for _, b := range s.brokers() {
		if n := b.asked; n != 0 {
			s.fail("R4", "%d requests were never answered by broker %d", n, b.server.id)
		}
	}
}
