package varve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Scenarios member and positions. */
final class Membership {
    private static final Map<String, Class<? extends ConsumerPartitionAssignor>> STRATEGIES = Map.of(
        "range", RangeAssignor.class, "roundrobin", RoundRobinAssignor.class,
        "sticky", StickyAssignor.class, "cooperative-sticky", CooperativeStickyAssignor.class);

    private Membership() {}

    private static Properties settings(String broker, String group) {
        Properties p = new Properties();
        p.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
        p.put(ConsumerConfig.GROUP_ID_CONFIG, group);
        p.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        p.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        return p;
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Properties p) {
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static ObjectNode member(String broker, JsonNode params) {
        Properties p = settings(broker, params.get("group").textValue());
        p.put(ConsumerConfig.PARTITION_ASSIGNMENT_STRATEGY_CONFIG, List.of(STRATEGIES.get(params.get("strategy").textValue())));
        if (!params.get("instance").textValue().isEmpty()) {
            p.put(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG, params.get("instance").textValue());
        }
        Path until = Path.of(params.get("until").textValue());
        ObjectNode out = Client.JSON.createObjectNode();
        ArrayNode events = out.putArray("events");
        try (var c = consumer(p)) {
            c.subscribe(List.of(params.get("topic").textValue()), new Listener(events));
            long deadline = System.nanoTime() + 2 * Client.PATIENCE_MS * 1_000_000L;
            for (boolean ending = false; !ending;) {
                if (System.nanoTime() - deadline > 0) {
                    throw new IllegalStateException("not told to end after " + events.size() + " events");
                }
                ending = Files.exists(until);
                var some = c.poll(Duration.ofMillis(100));
                for (var r : some) {
                    events.addObject().set("record", Consuming.got(r));
                }
                if (ending || !some.isEmpty()) {
                    commit(c, events);
                }
            }
        }
        return out;
    }

    /** Commits where the consumer is. */
    private static void commit(KafkaConsumer<byte[], byte[]> c, ArrayNode events) {
        try {
            c.commitSync();
        } catch (KafkaException e) {
            events.addObject().put("failed", e.toString());
            return;
        }
        ArrayNode committed = Client.JSON.createArrayNode();
        for (TopicPartition at : c.assignment()) {
            committed.addObject().put("partition", at.partition()).put("offset", c.position(at));
        }
        if (!committed.isEmpty()) {
            events.addObject().set("committed", committed);
        }
    }

    private record Listener(ArrayNode events) implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            note("assigned", partitions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            note("revoked", partitions);
        }

        private void note(String what, Collection<TopicPartition> partitions) {
            ArrayNode list = events.addObject().putArray(what);
            partitions.stream().mapToInt(TopicPartition::partition).sorted().forEach(list::add);
        }
    }

    static ObjectNode positions(String broker, JsonNode params) {
        ObjectNode out = Client.JSON.createObjectNode();
        Properties p = settings(broker, params.get("group").textValue());
        var at = new TopicPartition(params.get("topic").textValue(), 0);
        try (var c = consumer(p)) {
            c.subscribe(List.of(at.topic()));
            int n = 0;
            long deadline = System.nanoTime() + Client.PATIENCE_MS * 1_000_000L;
            while (n < 10 && System.nanoTime() - deadline < 0) {
                n += c.poll(Duration.ofMillis(500)).count();
            }
            out.put("read", n);
            c.commitSync(Map.of(at, new OffsetAndMetadata(4, "note")));
            OffsetAndMetadata committed = c.committed(java.util.Set.of(at)).get(at);
            out.put("committed", committed.offset()).put("metadata", committed.metadata());
            c.seek(at, 2);
            out.put("sought", c.poll(Duration.ofMillis(Client.PATIENCE_MS)).iterator().next().offset());
            // Closing waits for it.
            c.commitAsync(Map.of(at, new OffsetAndMetadata(10)), null);
        }
        try (var c = consumer(p)) {
            out.put("after", c.committed(java.util.Set.of(at)).get(at).offset());
        }
        return out;
    }
}
