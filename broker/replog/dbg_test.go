package replog
import ("testing";"fmt")
func TestDbg(t *testing.T){ for _, s := range []uint64{73,79,198} { d,err:=run(s,3000); fmt.Println(s,err); e:=d.e
 fmt.Printf("err %v stats %+v forced %v round %v stalled %d diskfree %d prepoff %v waiting %v tasks %d crashes %d\n", e.err, e.Stats(), e.forced, e.round!=nil, len(e.stalled), e.diskFree, e.prepareOff, e.Waiting(), len(d.tasks), d.crashes)
 if e.round!=nil { fmt.Println("logged", e.round.logged, len(e.round.flushing)); for g:=range e.round.flushing { m:=g.m.(*toy); fmt.Printf("flushing %d parked %v claim %+v failed %v syncing %v gfailed %v offered %v\n", g.id,g.parked,m.claim,m.failed,m.syncing,g.failed,g.offered); for _,s:=range m.segs {fmt.Println(" seg",s.generation,s.synced,s.written,s.length())}}}
  l:=e.wal; fmt.Printf("tail %d low %d cost %d oldest %d debt %d roundTail %d running %d starved %v\n", l.Tail(), l.Low(), e.roundCost, l.OldestClosedEnd(), l.Debt(), e.roundTail, e.running, e.starved()); for _,g:=range e.order { fmt.Println(g.id,g.changed,g.low(g.applied), g.applied,g.lastIndex) } 
 }}
