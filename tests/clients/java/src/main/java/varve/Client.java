package varve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Properties;
import org.apache.kafka.clients.CommonClientConfigs;

/** Runs the scenarios of tests/clients/scenario with Apache Kafka's client. */
public final class Client {
    static final ObjectMapper JSON = new ObjectMapper();
    static final long FIRST_TIME = 1_700_000_000_000L;
    static final int PATIENCE_MS = 120_000; // running into it is a failure in any case

    private Client() {}

    public static void main(String[] args) throws Exception {
        if (args.length != 3) {
            throw new IllegalArgumentException("usage: Client BROKER SCENARIO FILE");
        }
        String broker = args[0];
        JsonNode params = JSON.readTree(new File(args[2]));
        ObjectNode results = switch (args[1]) {
            case "produce" -> Producing.produce(broker, params);
            case "restart" -> Producing.restart(broker, params);
            case "consume" -> Consuming.consume(broker, params);
            case "follow" -> Consuming.follow(broker, params);
            case "admin" -> Administering.admin(broker, params);
            case "member" -> Membership.member(broker, params);
            case "positions" -> Membership.positions(broker, params);
            case "groups" -> Groups.groups(broker, params);
            default -> throw new IllegalArgumentException("no scenario " + args[1]);
        };
        System.out.println(JSON.writeValueAsString(results));
    }

    static Properties settings(String broker) {
        Properties p = new Properties();
        p.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, broker);
        p.put(CommonClientConfigs.RETRY_BACKOFF_MS_CONFIG, "50");
        p.put(CommonClientConfigs.RECONNECT_BACKOFF_MAX_MS_CONFIG, "200");
        return p;
    }

    static byte[] unblob(JsonNode text) {
        return text == null || text.isNull() ? null : Base64.getDecoder().decode(text.textValue());
    }

    static String blob(byte[] data) {
        if (data == null) {
            return null;
        }
        if (data.length <= 256) {
            return Base64.getEncoder().encodeToString(data);
        }
        try {
            byte[] sum = MessageDigest.getInstance("SHA-256").digest(data);
            return "sha256:" + HexFormat.of().formatHex(sum);
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
