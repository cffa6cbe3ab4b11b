"""Other people's clients, unchanged, against the server: what they send is in the log, durable, as it was sent; what they are told is in their words.

    cd tools && python -m unittest test_clients     # needs the built command (INDELIBLE_BINARY) and clients.txt; rsyslog, logger and curl from Debian
"""
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request
from unittest import mock

from client_pages import blocks, exported, put, run, shell, spans
from test_sealed import BINARY, CORPUS, needs

try:
    import cloudevents  # noqa: F401
    import elasticsearch
    import elasticsearch.helpers
    import opentelemetry.sdk  # noqa: F401
except ImportError as error:
    if "CI" in os.environ:
        raise
    elasticsearch, MISSING = None, str(error)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """`indelible serve` in a home of its own."""

    def __init__(self, root, *settings, config=""):
        environment = {"HOME": root, "INDELIBLE_DATA": os.path.join(root, "audit"), "INDELIBLE_STATE": os.path.join(root, "state")}
        words = [word for setting in ("listen.http=127.0.0.1:0", *settings) for word in ("--set", setting)]
        if config:
            with open(os.path.join(root, "indelible.toml"), "w", encoding="utf-8") as file:
                file.write(config)
            words += ["--config", "indelible.toml"]
        self.process = subprocess.Popen([BINARY, "serve", "-o", "json", *words], env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
        ready = json.loads(self.process.stdout.readline())
        self.url, self.token, self.root, self.environment = ready["url"], ready["token"], root, environment
        self.host, self.port = urllib.parse.urlsplit(self.url).hostname, urllib.parse.urlsplit(self.url).port

    def call(self, path, body=None, headers=None):
        headers = {"authorization": f"Bearer {self.token}", **(headers or {})}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=body, headers=headers)) as response:
            return response.status, response.read()

    def events(self, query, limit=1000):
        _, body = self.call(f"/api/v1/search?limit={limit}&q=" + urllib.parse.quote(query))
        answer = json.loads(body)
        assert answer["complete"], answer
        return answer["events"]

    def soon(self, query, count):
        """What matches, once so many do."""
        for _ in range(200):
            found = self.events(query)
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{len(found)} of {count} events match {query}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process.stdout.close()
        return code


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp()
        cls.udp, cls.tcp, cls.tls = free_port(), free_port(), free_port()
        run = lambda *words: subprocess.run(words, cwd=cls.root, check=True, capture_output=True)
        run("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        cls.server = Server(cls.root, config=put(blocks("syslog", "toml")[0], **{"5514": cls.udp, "6601": cls.tcp}))

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        verified = subprocess.run([BINARY, "verify", "-o", "json"], env=cls.server.environment, capture_output=True, text=True, check=False)
        shutil.rmtree(cls.root)
        assert code == 0, f"the server ended with {code}"
        assert verified.returncode == 0, verified.stdout

    def setUp(self):
        if elasticsearch is None:
            self.skipTest(f"a client is absent ({MISSING}): pip install -r tools/clients.txt")

    def otlp(self, exporter, name):
        """Hundreds of records by an exporter of the page, through the provider of the page."""
        page = run(blocks("otlp", "python")[2], exporter=exporter)
        provider, logger = page["provider"], page["log"]
        try:
            for nth in range(600):
                logger.error("payment %d failed", nth, extra={"user.id": f"user-{nth % 7}", "nth": nth, "ratio": 0.5, "event.name": f"payment.{name}"})
            self.assertTrue(provider.force_flush())
        finally:
            logger.handlers.clear()
            provider.shutdown()
        events = self.server.soon(f"action:payment.{name}", 600)
        self.assertEqual(len(events), 600)
        by_nth = {event["details"]["attributes"]["nth"]: event for event in events}
        self.assertEqual(sorted(by_nth), list(range(600)))
        event = by_nth[8]
        self.assertEqual((event["actor"]["id"], event["severity"], event["source"]), ("user-1", "medium", "otlp"))
        self.assertEqual(event["details"]["body"], "payment 8 failed")
        self.assertEqual(event["details"]["attributes"]["ratio"], 0.5)
        self.assertEqual(event["details"]["resource"]["attributes"]["service.name"], "shop")
        self.assertEqual((event["origin"]["host"], event["targets"][0]["id"]), ("web-1", "shop"))
        self.assertTrue(self.server.soon("action:payment.fail actor.id:alice details.attributes.amount:12.5", 1), "what the page itself records")

    def test_opentelemetry_over_http(self):
        # As the environment of the page says.
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        with mock.patch.dict(os.environ, exported(blocks("otlp", "sh")[0], URL=self.server.url, TOKEN=self.server.token)):
            self.otlp(OTLPLogExporter(), "http")

    def test_opentelemetry_over_http_compressed(self):
        page = run(blocks("otlp", "python")[0], URL=self.server.url, TOKEN=self.server.token)
        self.otlp(page["exporter"], "gzip")

    def test_opentelemetry_over_grpc(self):
        page = run(blocks("otlp", "python")[1], URL=self.server.url, TOKEN=self.server.token)
        self.otlp(page["exporter"], "grpc")

    def test_opentelemetry_over_grpc_beyond_a_rate_comes_again_and_loses_nothing(self):
        # A batch of the SDK has 512 records: the second and the third are too many at first.
        root = os.path.join(self.root, "rate")
        os.mkdir(root)
        server = Server(root, "rate.tenant_events=600", "rate.burst_seconds=1")
        exporter = run(blocks("otlp", "python")[1], URL=server.url, TOKEN=server.token)["exporter"]
        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        provider = LoggerProvider()
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        logger = logging.getLogger("rate")
        logger.propagate = False
        logger.addHandler(LoggingHandler(logger_provider=provider))
        try:
            for nth in range(1536):
                logger.error("payment %d", nth, extra={"event.name": "payment.rate"})
            self.assertTrue(provider.force_flush())
        finally:
            logger.handlers.clear()
            provider.shutdown()
        _, body = server.call("/api/v1/search?limit=1&count=true&q=action:payment.rate")
        limited = re.search(r"^indelible_limited_total (\d+)$", server.call("/metrics")[1].decode(), re.MULTILINE)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(json.loads(body)["matched"], 1536)
        self.assertGreater(int(limited.group(1)), 0, "it was beyond the rate")

    def test_opentelemetry_json_of_the_specification(self):
        path = os.path.join(CORPUS, "otlp-proto", "examples", "logs.json")
        needs(self, path, "INDELIBLE_CORPUS")
        with open(path, "rb") as file:
            body = file.read()
        status, answer = self.server.call("/v1/logs", body, {"content-type": "application/json"})
        self.assertEqual((status, json.loads(answer).get("partialSuccess")), (200, None))
        [event] = self.server.events("details.body:\"Example log record\"")
        self.assertEqual(event["trace"]["trace_id"], "5b8efff798038103d269b633813fc60c")
        self.assertEqual(event["details"]["attributes"]["array.attribute"], ["many", "values"])

    def test_elasticsearch_bulk(self):
        client = run(blocks("elastic", "python")[0], URL=self.server.url, TOKEN=self.server.token)["client"]
        [shown] = self.server.events("action:order.ship")
        self.assertEqual((shown["actor"]["name"], shown["targets"][0]["id"]), ("al", "shop"), "what the page itself records")
        self.assertEqual(client.info()["tagline"], "The audit log that can prove itself")
        actions = [{"_op_type": "create", "_index": "shop", "_id": f"doc-{nth}", "_source": {"action": "order.send", "user": {"name": "al"}, "nth": nth}}
                   for nth in range(500)]
        self.assertEqual(elasticsearch.helpers.bulk(client, actions), (500, []))
        self.assertEqual(elasticsearch.helpers.bulk(client, actions), (500, []), "sent again")
        events = self.server.events("action:order.send")
        self.assertEqual(sorted(event["details"]["nth"] for event in events), list(range(500)), "recorded once")
        self.assertEqual((events[0]["actor"]["name"], events[0]["targets"][0]["id"]), ("al", "shop"))
        with self.assertRaises(elasticsearch.helpers.BulkIndexError) as refused:
            elasticsearch.helpers.bulk(client, [{"_op_type": "delete", "_index": "shop", "_id": "doc-1"}])
        self.assertEqual(refused.exception.errors[0]["delete"]["status"], 400)
        answer = client.index(index="shop", document={"action": "order.pack"})
        self.assertEqual(answer["result"], "created")
        with self.assertRaises(elasticsearch.AuthenticationException):
            elasticsearch.Elasticsearch(self.server.url, api_key="indl_000000000000_wrong").info()

    def test_splunk_hec_by_curl(self):
        def curl(path, body, token=None, expect=200):
            words = ["curl", "-s", "-w", "\n%{http_code}", self.server.url + path, "-d", body]
            done = subprocess.run([*words, *(["-H", f"Authorization: Splunk {token}"] if token else [])], capture_output=True, text=True, check=True)
            answer, code = done.stdout.rsplit("\n", 1)
            self.assertEqual(int(code), expect, answer)
            return json.loads(answer)

        token = self.server.token
        shown = blocks("splunk", "sh")
        told = [json.loads(shell(script, URL=self.server.url, TOKEN=token)) for script in shown]
        self.assertEqual(told, [{"text": "Success", "code": 0}] * len(shown))
        body = '{"event":"plain text","sourcetype":"x"}'
        [event] = self.server.events("action:cart.add")
        self.assertEqual((event["time"], event["origin"]["host"]), ("2026-01-31T12:00:00.500000000Z", "web-9"))
        self.assertEqual(event["details"]["_hec"], {"host": "web-9", "time": 1769860800.5})
        self.assertEqual(curl("/services/collector", body, expect=401)["code"], 2)
        self.assertEqual(curl("/services/collector", body, "indl_000000000000_wrong", expect=403)["code"], 4)
        self.assertEqual(curl("/services/collector", '{"event":"a"}{"fields":{}}', token, expect=400), {"text": "Event field is required", "code": 12, "invalid-event-number": 1})
        self.assertEqual(curl("/services/collector", "nonsense", token, expect=400)["code"], 6)
        self.assertEqual(len(self.server.events('details.event:"plain text"')), 1)
        self.assertEqual(len(self.server.events('raw:"second line"')), 1)

    def test_cloudevents_structured_and_binary(self):
        [shown] = blocks("cloudevents", "python")
        for nth, form in enumerate(["to_structured", "to_binary"]):
            code = put(shown, **{"ce-1": f"ce-{nth}", "parcel-1": f"parcel-{nth}", "1.5": nth + 0.5})
            code = put(code, **{"= to_structured(": f"= {form}("})
            page = run(code, URL=self.server.url, TOKEN=self.server.token)
            message = page["message"]
            again, _ = self.server.call("/cloudevents", message.body, dict(message.headers))
            self.assertEqual((page["answer"].status_code, again), (204, 204))
        events = self.server.events("source:cloudevents")
        self.assertEqual(sorted(event["details"]["data"]["weight"] for event in events), [0.5, 1.5], "each once")
        self.assertEqual({event["targets"][-1]["id"] for event in events}, {"parcel-0", "parcel-1"})

    def test_the_api_by_curl(self):
        # On a server of its own, whose first positions the page names.
        root = os.path.join(self.root, "curl")
        os.mkdir(root)
        server = Server(root)
        printed = [shell(script, cwd=root, URL=server.url, TOKEN=server.token) for script in blocks("curl", "sh")]
        self.assertEqual(json.loads(printed[0])["durable"], True)
        self.assertEqual(json.loads(printed[1]), {"count": 1000, "durable": True})
        again = shell(blocks("curl", "sh")[1], cwd=root, URL=server.url, TOKEN=server.token)
        self.assertEqual(json.loads(again), {"count": 1000, "durable": True})
        self.assertEqual(len(server.events("action:door.open")), 1000, "recorded once")
        found, _ = json.JSONDecoder().raw_decode(printed[2])
        self.assertEqual((found["shown"], found["complete"]), (10, True))
        for name, magic in [("events.parquet", b"PAR1"), ("event.tlog-proof", b"c2sp.org/tlog-proof@v1\n")]:
            with open(os.path.join(root, name), "rb") as file:
                self.assertTrue(file.read().startswith(magic), name)
        key = next(log["verifier_key"] for log in json.loads(server.call("/api/v1/checkpoints")[1]) if log["log"] == "main")
        subprocess.run([BINARY, "verify", "--proof", "event.tlog-proof", "--key", key], cwd=root, check=True, capture_output=True)
        self.assertEqual(server.stop(), 0)

    def test_the_pages_name_keys_and_metrics_that_there_are(self):
        keys = {setting["key"] for setting in json.loads(self.server.call("/api/v1/config")[1])}
        named = spans(r"(?:limits|listen|syslog|tls|store|rate)\.[a-z_]+")
        self.assertGreater(len(named), 8)
        # An action, and no key.
        self.assertEqual(named - keys, {"syslog.auth"})
        # What was never counted is not told of.
        self.server.call("/_bulk", b'{"delete":{"_index":"shop","_id":"1"}}\n')
        metrics = self.server.call("/metrics")[1].decode()
        named = spans(r"indelible_[a-z_]+")
        self.assertEqual({name for name in named if f"# TYPE {name.removesuffix('_total')} " not in metrics}, set())
        self.assertGreater(len(named), 0)

    def test_kubernetes_event_lists(self):
        folder = os.path.join(CORPUS, "k8s-audit-falco")
        needs(self, folder, "INDELIBLE_CORPUS")
        items = []
        for place, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(place, name), "rb") as file:
                    try:
                        value = json.load(file)
                    except ValueError:
                        continue
                for item in value.get("items", [value]) if isinstance(value, dict) else value:
                    if isinstance(item, dict) and "auditID" in item:
                        items.append(item)
        self.assertGreater(len(items), 10)
        distinct = {(item["auditID"], item.get("stage")) for item in items}
        body = json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items}).encode()
        [configuration] = blocks("kubernetes", "yaml")
        configuration = put(configuration, **{"https://audit.example.com:8410": self.server.url, "indl_…": self.server.token})
        address = re.search(r'server: "([^"]+)"', configuration).group(1)
        headers = {"authorization": "Bearer " + re.search(r'token: "([^"]+)"', configuration).group(1), "content-type": "application/json"}
        for _ in range(2):
            with urllib.request.urlopen(urllib.request.Request(address, data=body, headers=headers)) as answer:
                self.assertEqual(answer.status, 200)
        events = self.server.events("source:kubernetes-audit")
        self.assertGreaterEqual(len(events), len(distinct), "each request and stage")
        details = [event["details"] for event in events]
        for item in items:
            self.assertIn(item, details, "every value as it was")

    def test_logger_over_udp_and_tcp(self):
        shell(put(blocks("syslog", "sh")[0], **{"5514": self.udp, "6601": self.tcp}))
        for mark in ["by-udp", "by-tcp", "by-octets"]:
            [event] = self.server.soon(f'details.message:"login failed {mark}"', 1)
            self.assertEqual((event["action"], event["severity"], event["targets"][0]), ("syslog.auth", "medium", {"id": "sshd", "type": "program"}))
            self.assertIn(mark, event["raw"]["text"])

    def test_rsyslog_to_bulk_and_syslog_over_tls(self):
        for path in ["/usr/sbin/rsyslogd", "/usr/lib/x86_64-linux-gnu/rsyslog/omelasticsearch.so", "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so"]:
            needs(self, path, "apt-get install rsyslog rsyslog-elasticsearch rsyslog-gnutls")
        # A second server: TLS for syslog means TLS for HTTP too.
        root = os.path.join(self.root, "tls")
        os.mkdir(root)
        certificate, key = f"{self.root}/cert.pem", f"{self.root}/key.pem"
        places = {"6514": self.tls, "/etc/indelible/cert.pem": certificate, "/etc/indelible/key.pem": key}
        secure = Server(root, config=put(blocks("syslog", "toml")[1], **places))
        relay = free_port()
        elastic = put(blocks("elastic")[0], **{"8410": self.server.port, "indl_…": self.server.token, "/var/log/indelible-errors": f"{self.root}/errors"})
        tls = put(blocks("syslog")[0], **{"6514": self.tls, "/etc/ssl/certs/indelible.pem": certificate})
        configuration = os.path.join(self.root, "rsyslog.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(f"""
global(workDirectory="{self.root}")
module(load="imtcp")
input(type="imtcp" port="{relay}" address="127.0.0.1")
{elastic}
{tls}
""")
        daemon = subprocess.Popen(["rsyslogd", "-n", "-f", configuration, "-i", os.path.join(self.root, "rsyslog.pid")],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", relay)) == 0:
                        break
                time.sleep(0.05)
            for nth in range(50):
                subprocess.run(["logger", "-n", "127.0.0.1", "-T", "-P", str(relay), "-t", "relayed", f"number {nth}"], check=True)
            found = self.server.soon("target:index:rsyslog", 50)
            self.assertEqual({event["details"]["message"].strip() for event in found}, {f"number {nth}" for nth in range(50)})
            # By the command: the certificate is nobody's.
            for _ in range(200):
                read = subprocess.run([BINARY, "search", "--count", "target:program:relayed"], env=secure.environment, capture_output=True, text=True, check=True)
                if read.stdout.strip() == "50":
                    break
                time.sleep(0.05)
            self.assertEqual(read.stdout.strip(), "50")
        finally:
            daemon.terminate()
            said = daemon.communicate(timeout=30)[1]
            code = secure.stop()
        self.assertEqual(code, 0, said)

    def test_nothing_that_the_document_allows_but_the_live_tail_is_a_server_error(self):
        command = os.path.join(os.path.dirname(sys.executable), "schemathesis")
        needs(self, command, "clients.txt installed into the environment that runs this")
        # A server of its own, as it finds tokens and revokes them; without the stream that has no end. The document is of the server's own API:
        # what other people's clients and readers of tiles ask has tests of its own, here and in crates/indelible-cli/tests.
        root = os.path.join(self.root, "api")
        os.mkdir(root)
        server = Server(root)
        done = subprocess.run([command, "run", server.url + "/openapi.json", "-H", f"authorization: Bearer {server.token}", "--checks",
                               "not_a_server_error", "--max-examples", "15", "--exclude-path", "/api/v1/tail", "--seed", "1"],
                              cwd=root, capture_output=True, text=True, check=False)
        self.assertEqual((server.stop(), done.returncode), (0, 0), done.stdout + done.stderr)

    def test_plaintext_on_the_tls_port_is_not_answered(self):
        root = os.path.join(self.root, "plain")
        os.mkdir(root)
        secure = Server(root, f"tls.certificate={self.root}/cert.pem", f"tls.key={self.root}/key.pem")
        self.assertTrue(secure.url.startswith("https://"))
        with socket.create_connection((secure.host, secure.port)) as plain:
            plain.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            self.assertNotIn(b"200", plain.recv(4096))
        done = subprocess.run(["curl", "-s", "--cacert", f"{self.root}/cert.pem", f"https://localhost:{secure.port}/livez"], capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout, "ok\n", done.stderr)
        # Asked by the configuration that started it, as containers do: this very certificate, and no other.
        run_openssl = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "other-key.pem", "-out", "other.pem", "-days", "2", "-subj", "/CN=localhost"]
        subprocess.run(run_openssl, cwd=self.root, check=True, capture_output=True)
        for certificate, code in [("cert.pem", 0), ("other.pem", 1)]:
            words = [f"listen.http=127.0.0.1:{secure.port}", f"tls.certificate={self.root}/{certificate}", f"tls.key={self.root}/key.pem"]
            health = subprocess.run([BINARY, "health", *[word for setting in words for word in ("--set", setting)]], env=secure.environment, capture_output=True, text=True, check=False)
            self.assertEqual(health.returncode, code, health.stdout + health.stderr)
        self.assertEqual(secure.stop(), 0)


if __name__ == "__main__":
    unittest.main()
