package varve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Scenarios produce and restart. */
final class Producing {
    private Producing() {}

    static KafkaProducer<byte[], byte[]> producer(String broker, String codec, boolean idempotent) {
        Properties p = Client.settings(broker);
        p.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, codec);
        p.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, String.valueOf(idempotent));
        p.put(ProducerConfig.ACKS_CONFIG, "all");
        p.put(ProducerConfig.LINGER_MS_CONFIG, "5");
        p.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, "2000000");
        if (!idempotent) {
            p.put(ProducerConfig.MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION, "1");
        }
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static ObjectNode produce(String broker, JsonNode params) throws Exception {
        ObjectNode out = Client.JSON.createObjectNode();
        ArrayNode runs = out.putArray("runs");
        for (JsonNode run : params.get("runs")) {
            List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
            for (JsonNode r : run.get("records")) {
                records.add(record(run.get("topic").textValue(), r));
            }
            try (var producer = producer(broker, run.get("codec").textValue(), run.get("idempotent").booleanValue())) {
                send(producer, records, runs.addArray());
            }
        }
        return out;
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, JsonNode r) {
        long timestamp = r.get("timestamp").longValue();
        var record = new ProducerRecord<>(
            topic, r.get("partition").intValue(), timestamp == 0 ? null : timestamp,
            Client.unblob(r.get("key")), Client.unblob(r.get("value")));
        for (JsonNode h : r.path("headers")) {
            record.headers().add(h.get("name").textValue(), Client.unblob(h.get("value")));
        }
        return record;
    }

    /** Sends records and adds what the producer was told of each, in order. */
    static void send(
        KafkaProducer<byte[], byte[]> producer, List<ProducerRecord<byte[], byte[]>> records, ArrayNode acks)
        throws Exception {
        List<Future<RecordMetadata>> told = new ArrayList<>();
        for (var r : records) {
            told.add(producer.send(r));
        }
        producer.flush();
        for (var t : told) {
            RecordMetadata m = t.get();
            acks.addObject()
                .put("partition", m.partition()).put("offset", m.offset()).put("timestamp", m.timestamp());
        }
    }

    static ObjectNode restart(String broker, JsonNode params) throws Exception {
        ObjectNode out = Client.JSON.createObjectNode();
        ArrayNode acks = out.putArray("runs").addArray();
        String topic = params.get("topic").textValue();
        Path until = Path.of(params.get("until").textValue());
        try (var producer = producer(broker, "none", true)) {
            for (int n = 0; !Files.exists(until);) {
                List<ProducerRecord<byte[], byte[]>> some = new ArrayList<>();
                for (int i = 0; i < 5; i++) {
                    byte[] value = String.valueOf(n++).getBytes(StandardCharsets.UTF_8);
                    some.add(new ProducerRecord<>(topic, 0, null, value));
                }
                send(producer, some, acks);
                Thread.sleep(5);
            }
        }
        return out;
    }
}
