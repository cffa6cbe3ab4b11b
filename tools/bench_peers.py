#!/usr/bin/env python3
"""DuckDB and ClickHouse (chdb) for `indelible-bench search`: one process, one database, questions from stdin.

    python3 bench_peers.py {duckdb|duckdb-parquet|clickhouse} DIRECTORY

One JSON object per line in, one out: {"ask": "load" | "open" | a question, ...} -> {"ns": ..., "answer": ...}. `ns` is the time from
handing the statement over to having every row in Python; the answer is made comparable after that. Caches of results are off.
"""
import json
import os
import sys
import time
import uuid

# Where each field of a line of JSON goes; the same names in both databases.
FIELDS = {
    "tenant": "tenant", "action": "action", "outcome": "outcome", "severity": "severity", "actor_id": "actor.id",
    "actor_type": "actor.type", "actor_name": "actor.name", "actor_email": "actor.email", "session": "session", "ip": "origin.ip",
    "user_agent": "origin.user_agent", "host": "origin.host", "target_type": "targets[1].type", "target_id": "targets[1].id",
}


def rows_text(rows):
    """id and details of every row, as `Answer::row` writes them."""
    return "".join(f"{row_id} {details}\n" for row_id, details in rows)


def groups_text(groups):
    return "".join(f"{name} {count}\n" for name, count in sorted(group for group in groups if group[0] is not None))


class Duck:
    """A table of its own, or our Parquet files as they are."""

    def __init__(self, directory, parquet):
        import duckdb

        self.duckdb, self.directory, self.parquet, self.connection = duckdb, directory, parquet, None
        self.columns = {"id": "id", "details": "details", "actor": "actor_id"}
        self.source = "events"
        if parquet:
            self.columns["actor"] = "actor.id"
            self.source = f"read_parquet('{directory}/*.parquet')"

    def connect(self):
        return self.duckdb.connect(":memory:" if self.parquet else os.path.join(self.directory, "events.duckdb"))

    def load(self, lines):
        if self.parquet:
            return
        texts = ", ".join(f"{path} AS {name}" for name, path in FIELDS.items())
        connection = self.connect()
        connection.execute(
            f"""CREATE TABLE events AS
                SELECT row_number() OVER () - 1 AS seq, id, time, {texts}, details::VARCHAR AS details
                FROM read_json('{lines}', format = 'newline_delimited', columns = {{
                    id: 'UUID', time: 'TIMESTAMP_NS', tenant: 'VARCHAR', action: 'VARCHAR', outcome: 'VARCHAR',
                    severity: 'VARCHAR', actor: 'STRUCT(id VARCHAR, type VARCHAR, name VARCHAR, email VARCHAR)',
                    session: 'VARCHAR', origin: 'STRUCT(ip VARCHAR, user_agent VARCHAR, host VARCHAR)',
                    targets: 'STRUCT(type VARCHAR, id VARCHAR)[]', details: 'JSON'}})"""
        )
        connection.execute("CHECKPOINT")
        connection.close()

    def open(self):
        self.connection = self.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        # Loads what the first answer as Arrow needs: a matter of Python, not of DuckDB.
        self.connection.sql("SELECT 1").to_arrow_table().column(0).to_pylist()

    def close(self):
        if self.connection:
            self.connection.close()

    def run(self, sql, arguments=()):
        begin = time.perf_counter_ns()
        # As Arrow: rows made into objects of Python would cost more than some of the answers.
        table = self.connection.sql(sql, params=list(arguments)).to_arrow_table()
        return time.perf_counter_ns() - begin, table

    def rows(self, condition, arguments):
        ns, table = self.run(f"SELECT * FROM {self.source} WHERE {condition} ORDER BY seq DESC LIMIT 100", arguments)
        ids = (value if isinstance(value, (str, uuid.UUID)) else uuid.UUID(bytes=value) for value in table["id"].to_pylist())
        return ns, rows_text(zip(ids, table["details"].to_pylist()))

    def count(self, condition, arguments):
        ns, table = self.run(f"SELECT count(*) FROM {self.source} WHERE {condition}", arguments)
        return ns, str(table.column(0)[0])

    def by_id(self, id):
        return self.rows("id = ?::UUID", [id])

    def last_of_actor(self, actor):
        return self.rows(f"{self.columns['actor']} = ?", [actor])

    def last_of_tenant_action(self, tenant, action):
        return self.rows("tenant = ? AND action = ?", [tenant, action])

    def count_by_action(self):
        ns, table = self.run(f"SELECT action, count(*) FROM {self.source} GROUP BY action")
        return ns, groups_text(zip(*(column.to_pylist() for column in table.columns)))

    def severity_in_hour(self, severity, from_ns, to_ns):
        kind = "TIMESTAMPTZ_NS" if self.parquet else "TIMESTAMP_NS"
        begin, end = (f"make_timestamp_ns({ns})::{kind}" for ns in (from_ns, to_ns))
        return self.count(f"severity = ? AND time >= {begin} AND time < {end}", [severity])

    def substring(self, piece):
        return self.count("contains(details, ?)", [piece])


class ClickHouse:
    """A MergeTree in the order of the log, with the skip indexes that help the questions."""

    def __init__(self, directory, _):
        from chdb import session

        self.session = session.Session(os.path.join(directory, "clickhouse"))

    def load(self, lines):
        low = {"tenant", "action", "outcome", "severity", "actor_type", "user_agent", "host", "target_type"}
        texts = ", ".join(f"{name} {'LowCardinality(String)' if name in low else 'String CODEC(ZSTD(1))'}" for name in FIELDS)
        self.session.query("CREATE DATABASE audit ENGINE = Atomic")
        self.session.query(
            f"""CREATE TABLE audit.events (
                    seq UInt64 CODEC(Delta, ZSTD(1)), id UUID CODEC(ZSTD(1)), time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
                    {texts}, details String CODEC(ZSTD(1)),
                    INDEX by_id id TYPE bloom_filter GRANULARITY 1,
                    INDEX by_actor actor_id TYPE bloom_filter GRANULARITY 1,
                    INDEX by_time time TYPE minmax GRANULARITY 1)
                ENGINE = MergeTree ORDER BY seq SETTINGS old_parts_lifetime = 1, cleanup_delay_period = 1"""
        )
        shape = (
            "id UUID, time String, tenant String, action String, outcome String, severity String, "
            "actor Tuple(id String, type String, name String, email String), session String, "
            "origin Tuple(ip String, user_agent String, host String), targets Array(Tuple(type String, id String)), details String"
        )
        texts = ", ".join(f"{path} AS {name}" for name, path in FIELDS.items())
        self.session.query(
            f"""INSERT INTO audit.events
                SELECT rowNumberInAllBlocks(), id, parseDateTime64BestEffort(time, 9, 'UTC'), {texts}, details
                FROM file('{lines}', JSONEachRow, '{shape}')
                SETTINGS max_threads = 1, max_insert_threads = 1, input_format_parallel_parsing = 0,
                         input_format_json_read_objects_as_strings = 1"""
        )
        self.session.query("OPTIMIZE TABLE audit.events FINAL")

    def close(self):
        self.session.close()

    def open(self):
        # Parts that were merged are removed when the next process opens the table: they are not what the events take.
        parts = "SELECT count() FROM system.parts WHERE table = 'events' AND NOT active"
        for _ in range(100):
            if not int(self.session.query(parts, "TSV").bytes()):
                break
            time.sleep(0.1)
        self.session.query("SYSTEM DROP MARK CACHE")

    def run(self, sql):
        begin = time.perf_counter_ns()
        text = self.session.query(sql, "JSONCompact").bytes()
        ns = time.perf_counter_ns() - begin
        return ns, json.loads(text)

    def rows(self, condition):
        ns, found = self.run(f"SELECT * FROM audit.events WHERE {condition} ORDER BY seq DESC LIMIT 100")
        names = [column["name"] for column in found["meta"]]
        row_id, details = names.index("id"), names.index("details")
        return ns, rows_text((row[row_id], row[details]) for row in found["data"])

    def count(self, condition):
        ns, found = self.run(f"SELECT count() FROM audit.events WHERE {condition}")
        return ns, str(int(found["data"][0][0]))

    def by_id(self, id):
        return self.rows(f"id = '{id}'")

    def last_of_actor(self, actor):
        return self.rows(f"actor_id = '{actor}'")

    def last_of_tenant_action(self, tenant, action):
        return self.rows(f"tenant = '{tenant}' AND action = '{action}'")

    def count_by_action(self):
        ns, found = self.run("SELECT action, count() FROM audit.events GROUP BY action")
        return ns, groups_text((name, int(count)) for name, count in found["data"])

    def severity_in_hour(self, severity, from_ns, to_ns):
        begin, end = (f"fromUnixTimestamp64Nano(toInt64({ns}), 'UTC')" for ns in (from_ns, to_ns))
        return self.count(f"severity = '{severity}' AND time >= {begin} AND time < {end}")

    def substring(self, piece):
        return self.count(f"position(details, '{piece}') > 0")


def main():
    kind, directory = sys.argv[1:]
    # What a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(said):
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    peer = {"duckdb": Duck, "duckdb-parquet": Duck, "clickhouse": ClickHouse}[kind](directory, kind == "duckdb-parquet")
    answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            done = getattr(peer, request.pop("ask"))(**request)
            answer({"ns": done[0], "answer": done[1]} if done else {"done": True})
        except Exception as error:  # whatever it is, the other side reports it and ends the run
            answer({"error": f"{kind}: {type(error).__name__}: {error}"})
    peer.close()


if __name__ == "__main__":
    main()
