package varve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Scenario groups. */
final class Groups {
    private final Admin admin;
    private final String group;
    private final String topic;

    private Groups(Admin admin, String group, String topic) {
        this.admin = admin;
        this.group = group;
        this.topic = topic;
    }

    static ObjectNode groups(String broker, JsonNode params) throws Exception {
        try (Admin admin = Admin.create(Client.settings(broker))) {
            return new Groups(admin, params.get("group").textValue(), params.get("topic").textValue()).steps();
        }
    }

    private ObjectNode steps() throws Exception {
        ObjectNode out = Client.JSON.createObjectNode();
        out.put("listed", listed());
        var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        out.put("state", described.groupState().toString().toLowerCase(java.util.Locale.ROOT));
        out.put("members", described.members().size());
        ArrayNode offsets = out.putArray("offsets");
        offsets().forEach(offsets::add);
        admin.alterConsumerGroupOffsets(group, Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(3))).all().get();
        out.put("reset", offsets().get(0));
        admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 1))).all().get();
        out.put("cleared", offsets().get(1));
        delete();
        out.put("left", listed());
        out.put("gone", Administering.code(this::delete));
        return out;
    }

    private Void delete() throws Exception {
        return admin.deleteConsumerGroups(List.of(group)).all().get();
    }

    private boolean listed() throws Exception {
        return admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group));
    }

    private List<Long> offsets() throws Exception {
        var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        List<Long> out = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            OffsetAndMetadata at = found.get(new TopicPartition(topic, i));
            out.add(at == null ? -1 : at.offset());
        }
        return out;
    }
}
