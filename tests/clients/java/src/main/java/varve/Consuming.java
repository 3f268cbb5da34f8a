package varve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Scenarios consume and follow. */
final class Consuming {
    private Consuming() {}

    private static KafkaConsumer<byte[], byte[]> consumer(String broker, boolean committed) {
        Properties p = Client.settings(broker);
        p.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "none");
        p.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        p.put(ConsumerConfig.CHECK_CRCS_CONFIG, "true");
        p.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, committed ? "read_committed" : "read_uncommitted");
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static ObjectNode consume(String broker, JsonNode params) {
        ObjectNode out = Client.JSON.createObjectNode();
        ArrayNode records = out.putArray("records");
        Map<TopicPartition, Long> from = new HashMap<>();
        Map<TopicPartition, Long> times = new HashMap<>();
        for (JsonNode r : params.get("reads")) {
            var at = new TopicPartition(r.get("topic").textValue(), r.get("partition").intValue());
            if (r.get("timestamp").longValue() != 0) {
                times.put(at, r.get("timestamp").longValue());
            } else {
                from.put(at, r.get("offset").longValue());
            }
        }
        try (var c = consumer(broker, params.get("committed").booleanValue())) {
            // A partition whose records are all older has no place in the answer.
            c.offsetsForTimes(times).forEach((at, found) -> {
                if (found != null) {
                    from.put(at, found.offset());
                }
            });
            Map<TopicPartition, Long> left = new HashMap<>(c.endOffsets(from.keySet()));
            left.entrySet().removeIf(e -> from.get(e.getKey()) >= e.getValue());
            c.assign(left.keySet());
            left.keySet().forEach(at -> c.seek(at, from.get(at)));
            ArrayNode ends = out.putArray("ends");
            long deadline = System.nanoTime() + Client.PATIENCE_MS * 1_000_000L;
            while (!left.isEmpty()) {
                if (System.nanoTime() - deadline > 0) {
                    throw new IllegalStateException("no end of " + left);
                }
                for (var r : c.poll(Duration.ofMillis(500))) {
                    if (r.offset() < left.getOrDefault(new TopicPartition(r.topic(), r.partition()), 0L)) {
                        records.add(got(r));
                    }
                }
                left.entrySet().removeIf(e -> c.position(e.getKey()) >= e.getValue());
            }
            for (TopicPartition at : c.assignment()) {
                ObjectNode end = ends.addObject().put("topic", at.topic()).put("partition", at.partition());
                end.put("position", c.position(at));
                c.currentLag(at).ifPresentOrElse(lag -> end.put("lag", lag), () -> end.putNull("lag"));
            }
        }
        return out;
    }

    static ObjectNode follow(String broker, JsonNode params) {
        ObjectNode out = Client.JSON.createObjectNode();
        ArrayNode records = out.putArray("records");
        byte[] last = Client.unblob(params.get("last"));
        var at = new TopicPartition(params.get("topic").textValue(), 0);
        try (var c = consumer(broker, false)) {
            c.assign(List.of(at));
            c.seek(at, 0);
            long deadline = System.nanoTime() + Client.PATIENCE_MS * 1_000_000L;
            while (System.nanoTime() - deadline < 0) {
                for (var r : c.poll(Duration.ofMillis(500))) {
                    records.add(got(r));
                    if (Arrays.equals(r.value(), last)) {
                        return out;
                    }
                }
            }
        }
        throw new IllegalStateException("the last record does not come after " + records.size());
    }

    static ObjectNode got(ConsumerRecord<byte[], byte[]> r) {
        ObjectNode out = Client.JSON.createObjectNode();
        out.put("topic", r.topic()).put("partition", r.partition());
        out.put("offset", r.offset()).put("timestamp", r.timestamp());
        out.put("key", Client.blob(r.key())).put("value", Client.blob(r.value()));
        ArrayNode headers = out.putArray("headers");
        for (Header h : r.headers()) {
            headers.addObject().put("name", h.key()).put("value", Client.blob(h.value()));
        }
        return out;
    }
}
