package tour

import (
	"fmt"
	"testing"

	"github.com/varvelog/varve/tests/broker"
)

// TestTour runs the README's tour with the cold tier in a directory, which is the
// default.
func TestTour(t *testing.T) {
	bin, err := broker.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	http := fmt.Sprintf("127.0.0.1:%d", broker.FreePort(t))
	p := broker.Start(t, broker.Options{Bin: bin, Dir: t.TempDir(), Settings: []string{"http.listen=" + http}})
	Run(t, bin, p.Addr(), "http://"+http)
	p.Stop(t)
}
