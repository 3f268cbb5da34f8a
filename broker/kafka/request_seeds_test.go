package kafka

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/ident"
)

// The topic and group that seeds speak of.
const (
	seedTopic = "events"
	seedGroup = "group"
)

var seedTopicID = ident.TopicID{0xab, 1, 2, 3, 15: 9}

// A requestSeed is a body of a key and version that the table has.
type requestSeed struct {
	key, version int16
	body         []byte
}

// requestSeeds makes two bodies for every key and version of the table: one of
// defaults, and one in which every array has an element and every text a value.
func requestSeeds(t testing.TB) []requestSeed {
	t.Helper()
	batch := rigBatch(t, rigParams(), "a", "b")
	var seeds []requestSeed
	for _, a := range apis() {
		for v := a.min; v <= a.max; v++ {
			for _, full := range []bool{false, true} {
				q := kmsg.RequestForKey(a.key)
				q.SetVersion(v)
				if full {
					fillMessage(reflect.ValueOf(q).Elem(), "", batch)
				} else {
					q.(interface{ Default() }).Default()
				}
				seeds = append(seeds, requestSeed{a.key, v, q.AppendTo(nil)})
			}
		}
	}
	return seeds
}

// fillMessage gives a message one element per array and a value per text. What
// they are goes by the name of the field.
func fillMessage(v reflect.Value, name string, batch []byte) {
	if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
	text := map[string]string{
		"Group": seedGroup, "GroupID": seedGroup, "CoordinatorKey": seedGroup, "CoordinatorKeys": seedGroup, "Groups": seedGroup,
		"MemberID": "", "InstanceID": "instance", "ProtocolType": "consumer", "Protocol": "range",
		"ClientSoftwareName": "rig", "ClientSoftwareVersion": "1.0",
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type().Name() == "Tags" {
			return
		}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			switch {
			case field.Name == "Version" || !field.IsExported():
			case field.Name == "Name" && v.Type().Name() == "JoinGroupRequestProtocol":
				v.Field(i).SetString("range")
			default:
				fillMessage(v.Field(i), field.Name, batch)
			}
		}
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.String && name != "TransactionID" && name != "TransactionalID" {
			v.Set(reflect.New(v.Type().Elem()))
			fillMessage(v.Elem(), name, batch)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("blob"))
			if name == "Records" {
				v.SetBytes(bytes.Clone(batch))
			}
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillMessage(v.Index(0), name, batch)
	case reflect.Array:
		if name == "TopicID" {
			v.Set(reflect.ValueOf([16]byte(seedTopicID)))
		}
	case reflect.String:
		value, ok := text[name]
		if !ok {
			value = seedTopic
		}
		v.SetString(value)
	case reflect.Int16:
		if name == "Acks" {
			v.SetInt(-1)
		}
	case reflect.Int32:
		switch name {
		case "MaxWaitMillis", "TimeoutMillis", "SessionTimeoutMillis", "RebalanceTimeoutMillis", "PartitionMaxBytes", "MaxBytes":
			v.SetInt(10_000)
		}
	}
}

// TestRequestSeedsCoverTheTable: no key and no version is without a seed that
// the real decoder takes.
func TestRequestSeedsCoverTheTable(t *testing.T) {
	type version struct{ key, version int16 }
	seeds := map[version]int{}
	for _, s := range requestSeeds(t) {
		q := kmsg.RequestForKey(s.key)
		q.SetVersion(s.version)
		if err := q.ReadFrom(s.body); err != nil || !bytes.Equal(q.AppendTo(nil), s.body) {
			t.Errorf("key %d version %d: %v, or other bytes", s.key, s.version, err)
		}
		seeds[version{s.key, s.version}]++
	}
	for key := int16(-1); key <= kmsg.MaxKey+1; key++ {
		for v := int16(-1); v < 100; v++ {
			if n := seeds[version{key, v}]; Known(key, v).Known != (n == 2) {
				t.Errorf("key %d version %d has %d seeds", key, v, n)
			}
		}
	}
}
