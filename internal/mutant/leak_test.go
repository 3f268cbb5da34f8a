package mutant

import (
	"testing"

	"github.com/varvelog/varve/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
