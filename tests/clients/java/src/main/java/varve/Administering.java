package varve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.protocol.Errors;

/** Scenario admin. */
final class Administering {
    private static final String RETENTION = "retention.ms";

    private final Admin admin;
    private final String topic;
    private final ConfigResource resource;

    private Administering(Admin admin, String topic) {
        this.admin = admin;
        this.topic = topic;
        this.resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    static ObjectNode admin(String broker, JsonNode params) throws Exception {
        try (Admin admin = Admin.create(Client.settings(broker))) {
            return new Administering(admin, params.get("topic").textValue()).all(broker);
        }
    }

    private ObjectNode all(String broker) throws Exception {
        ObjectNode out = Client.JSON.createObjectNode();
        create();
        out.put("again", code(this::create));
        out.put("listed", listed());
        out.put("partitions", partitions());
        out.put("retention", retention());
        var set = new AlterConfigOp(new ConfigEntry(RETENTION, "7200000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
        out.put("altered", retention());
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
        out.put("raised", partitions());
        fill(broker);
        var at = new TopicPartition(topic, 0);
        long low = admin.deleteRecords(Map.of(at, RecordsToDelete.beforeOffset(4)))
            .lowWatermarks().get(at).get().lowWatermark();
        if (low != 4) {
            throw new IllegalStateException("delete records: the low watermark is " + low);
        }
        out.put("earliest", offset(at, OffsetSpec.earliest()));
        out.put("latest", offset(at, OffsetSpec.latest()));
        out.put("by_time", offset(at, OffsetSpec.forTimestamp(Client.FIRST_TIME + 6000)));
        if (offset(at, OffsetSpec.maxTimestamp()) != 9) {
            throw new IllegalStateException("the offset of the newest timestamp is not 9");
        }
        cluster(out.putObject("cluster"));
        delete();
        out.put("left", listed());
        out.put("gone", code(this::delete));
        return out;
    }

    /** Returns the protocol's code of the error that a step ends with. */
    static short code(Callable<Void> step) throws Exception {
        try {
            step.call();
            return 0;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof ApiException a) {
                return Errors.forException(a).code();
            }
            throw e;
        }
    }

    private Void create() throws Exception {
        var created = new NewTopic(topic, 3, (short) 1).configs(Map.of(RETENTION, "3600000"));
        return admin.createTopics(List.of(created)).all().get();
    }

    private Void delete() throws Exception {
        return admin.deleteTopics(List.of(topic)).all().get();
    }

    private boolean listed() throws Exception {
        return admin.listTopics().names().get().contains(topic);
    }

    private int partitions() throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
    }

    private String retention() throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(RETENTION).value();
    }

    private long offset(TopicPartition at, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(at, spec)).all().get().get(at).offset();
    }

    private void fill(String broker) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            byte[] value = String.valueOf(i).getBytes(java.nio.charset.StandardCharsets.UTF_8);
            records.add(new ProducerRecord<>(topic, 0, Client.FIRST_TIME + 1000L * i, null, value));
        }
        try (var producer = Producing.producer(broker, "none", true)) {
            Producing.send(producer, records, Client.JSON.createArrayNode());
        }
    }

    private void cluster(ObjectNode out) throws Exception {
        var c = admin.describeCluster();
        out.put("id", c.clusterId().get()).put("controller", c.controller().get().id());
        ArrayNode brokers = out.putArray("brokers");
        for (Node n : c.nodes().get()) {
            brokers.add(n.id());
        }
    }
}
