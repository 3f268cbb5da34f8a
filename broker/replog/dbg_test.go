package replog
import ("testing";"fmt";"reflect")
func TestDbg(t *testing.T){ for _, s := range []uint64{88,116,217,290} { d,err:=run(s,3000); fmt.Println(s,err); e:=d.e
 fmt.Printf("stats %+v forced %v round %v stalled %d diskfree %d prepoff %v waiting %v tasks %d crashes %d\n", e.Stats(), e.forced, e.round!=nil, len(e.stalled), e.diskFree, e.prepareOff, e.Waiting(), len(d.tasks), d.crashes)
 l:=e.wal; fmt.Printf("tail %d low %d cost %d oldest %d debt %d roundTail %d running %d wf %v\n", l.Tail(), l.Low(), e.roundCost, l.OldestClosedEnd(), l.Debt(), e.roundTail, e.running, e.wouldFree()); for _,g:=range e.order { fmt.Println(g.id,g.changed,g.low(g.applied), g.applied,g.lastIndex) } 
 v:=reflect.ValueOf(l).Elem(); for _,n:=range []string{"allocated","queued","reserved","biggest","next","old","inflight","failed"} { fmt.Print(n,"=",v.FieldByName(n)," ") }
 c:=v.FieldByName("cur").Elem(); fmt.Println("off",c.FieldByName("off"), "head", c.FieldByName("head"), len(e.garbage), e.removing, e.removeOff)
 }}
