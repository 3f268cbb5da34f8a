//go:build clients

package clients

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/varvelog/varve/tests/clients/scenario"
)

// TestAdmin has every client create, describe, change and delete a topic.
func TestAdmin(t *testing.T) {
	b := start(t)
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			got := fields(t, run[scenario.Administered](t, c, b.Addr(), "admin", scenario.Admin{Topic: "admin-" + c.name}))
			// The broker's only id is random, and every client saw the same.
			id, _ := clusterID(got["cluster"])
			if id == "" && !slices.Contains(c.without, "cluster") {
				t.Errorf("the cluster has no id: %v", got["cluster"])
			}
			want := fields(t, map[string]any{
				"again": 36, "listed": true, "partitions": 3, "retention": "3600000", "altered": "7200000",
				"raised": 5, "earliest": 4, "latest": 10, "by_time": 6,
				"cluster": map[string]any{"id": id, "controller": 1, "brokers": []int{1}},
				"left":    false, "gone": 3,
			})
			if c.name == "kcat" {
				// It cannot date its records, so all are newer.
				want["by_time"] = "0"
			}
			for name, w := range want {
				if slices.Contains(c.without, name) {
					w = "null"
				}
				if got[name] != w {
					t.Errorf("%s: got %s, want %s", name, got[name], w)
				}
			}
		})
	}
}

// fields returns the fields of an object, each as JSON.
func fields(t *testing.T, v any) map[string]string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, part := range parts {
		var plain any
		if err := json.Unmarshal(part, &plain); err != nil {
			t.Fatal(err)
		}
		if raw, err = json.Marshal(plain); err != nil { // with sorted names
			t.Fatal(err)
		}
		out[name] = string(raw)
	}
	return out
}

func clusterID(raw string) (string, error) {
	var c scenario.Cluster
	err := json.Unmarshal([]byte(raw), &c)
	return c.ID, err
}
