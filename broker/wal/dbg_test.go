package wal
import ("fmt";"testing")
func TestDbg(t *testing.T){
 m := newModel(1)
 err := m.run(40 + m.rng.IntN(300))
 fmt.Println(err)
 es,_ := m.disk.List("wal")
 for _,e := range es { f,_ := m.disk.Open("wal/"+e.Name)
  seq,_ := parseFileName(e.Name)
  h,bad,_ := readHeader(f,e.Size,seq,testDirectory)
  fmt.Println(e.Name,h.base,h.size,h.low,bad)
  fd := &found{name:e.Name,head:h,file:f}
  for off:=int64(4096); bad=="" && off<h.size; { wh,rs,_ := readWrite(fd,off); if rs==nil {break}
   s := ""
   for _,r := range rs { switch r.Kind { case KindAppend: s+="a"; case KindGone: s+="g"; case KindProof: s+="p"; case KindCheckpoint: s+=fmt.Sprint("C",r.Piece.ID,".",r.Piece.Number,r.Piece.Last); for _,g:=range r.Piece.Groups { s+=fmt.Sprint("(",g.Low,")")}}}
   fmt.Println("   ",wh.position,"prev",wh.previous,"dur",wh.durable,"ext",wh.extent(),s); off+=wh.extent() }
 }
}
