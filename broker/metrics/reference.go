package metrics

import "bytes"

const referenceIntro = `
# Metrics

What ` + "`GET /metrics`" + ` on ` + "`http.listen`" + ` answers, as Prometheus text or, if it is asked for, OpenMetrics. [Observability](../observability.md) says what to look at first.

Names have base units: seconds and bytes. Counters (` + "`_total`" + `) begin at 0 when the broker starts. At most ` + "`metrics.series.max`" + ` topics, and as many pairs of topic and stage and of group and topic, have series of their own; all further ones are summed with ` + "`other`" + ` as the value of these labels. A deleted topic's series end.

The Go runtime's metrics (` + "`go_*`" + `) and those of the process (` + "`process_*`" + `) are those of Prometheus' Go client.
`

// Reference renders docs/reference/metrics.md without its first line, the marker
// of generated pages.
func Reference() []byte {
	var out bytes.Buffer
	out.WriteString(referenceIntro)
	out.Write(table.Reference())
	return out.Bytes()
}
