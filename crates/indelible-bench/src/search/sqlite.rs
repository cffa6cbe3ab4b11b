//! SQLite (public domain): a typed column for every field, and an index for every question that one can help.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, ToSql, params};

use super::corpus::Corpus;
use super::questions::Question;
use super::{Answer, Answered, Peer, timed};
use crate::Result;

const SCHEMA: &str = "
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY, id BLOB, time INTEGER, tenant TEXT, action TEXT, outcome TEXT, severity TEXT,
        actor_id TEXT, actor_type TEXT, actor_name TEXT, actor_email TEXT, session TEXT,
        ip TEXT, user_agent TEXT, host TEXT, target_type TEXT, target_id TEXT, details TEXT);";
const INDEXES: &str = "
    CREATE UNIQUE INDEX by_id ON events (id);
    CREATE INDEX by_actor ON events (actor_id);
    CREATE INDEX by_tenant_action ON events (tenant, action);
    CREATE INDEX by_action ON events (action);
    CREATE INDEX by_severity ON events (severity, time);
    ANALYZE;";
const INSERT: &str = "INSERT INTO events VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)";
/// The whole file may be mapped, and a tenth of it held.
const READING: &str = "PRAGMA query_only = ON; PRAGMA mmap_size = 68719476736; PRAGMA cache_size = -65536;";
const ID_COLUMN: usize = 1;
const DETAILS_COLUMN: usize = 17;

pub(super) struct Sqlite {
    dir: PathBuf,
    connection: Option<Connection>,
}

impl Sqlite {
    pub(super) const fn new(dir: PathBuf) -> Self {
        Self { dir, connection: None }
    }

    /// All rows of a statement, every column of them.
    fn rows(&self, sql: &str, arguments: &[&dyn ToSql]) -> Result<Vec<Vec<Value>>> {
        let mut statement = self.connection()?.prepare_cached(sql)?;
        let columns = statement.column_count();
        let whole = |row: &Row<'_>| (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>();
        Ok(statement.query_map(arguments, whole)?.collect::<rusqlite::Result<_>>()?)
    }

    fn count(&self, sql: &str, arguments: &[&dyn ToSql]) -> Result<u64> {
        let count: i64 = self.connection()?.prepare_cached(sql)?.query_row(arguments, |row| row.get(0))?;
        Ok(u64::try_from(count)?)
    }

    fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| "SQLite is not open".into())
    }
}

impl Peer for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite, 5 indexes"
    }

    fn load(&mut self, corpus: &Corpus<'_>) -> Result<()> {
        let mut connection = Connection::open(self.dir.join("events.sqlite"))?;
        connection.execute_batch(SCHEMA)?;
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare(INSERT)?;
            let mut details = String::new();
            for (seq, nth) in corpus.order.iter().enumerate() {
                let event = corpus.zipf.at(*nth);
                details.clear();
                event.details_json(&mut details);
                insert.execute(params![
                    i64::try_from(seq)?,
                    uuid_bytes(event.id.text())?,
                    event.time_ns,
                    event.tenant,
                    event.action.name(),
                    event.outcome.name(),
                    event.severity(),
                    event.actor_id,
                    "user",
                    event.actor_name,
                    event.actor_email,
                    event.session.text(),
                    event.ip,
                    event.user_agent,
                    event.host,
                    event.target_kind,
                    event.target_id.text(),
                    details,
                ])?;
            }
        }
        transaction.commit()?;
        connection.execute_batch(INDEXES)?;
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        let connection = Connection::open(self.dir.join("events.sqlite"))?;
        connection.execute_batch(READING)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.connection = None;
        Ok(())
    }

    fn ask(&mut self, question: &Question) -> Result<Answered> {
        match question {
            Question::ById { id } => rows(timed(|| self.rows("SELECT * FROM events WHERE id = ?1", &[&uuid_bytes(id)?]))?),
            Question::LastOfActor { actor } => {
                rows(timed(|| self.rows("SELECT * FROM events WHERE actor_id = ?1 ORDER BY seq DESC LIMIT 100", &[actor]))?)
            }
            Question::LastOfTenantAction { tenant, action } => rows(timed(|| {
                let sql = "SELECT * FROM events WHERE tenant = ?1 AND action = ?2 ORDER BY seq DESC LIMIT 100";
                self.rows(sql, &[tenant, action])
            })?),
            Question::CountByAction => {
                let (ns, groups) = timed(|| self.rows("SELECT action, count(*) FROM events GROUP BY action", &[]))?;
                let groups: Option<BTreeMap<_, _>> = groups.into_iter().map(group).collect();
                Ok((ns, Answer::groups(groups.ok_or("SQLite counted strangely")?)))
            }
            Question::SeverityInHour { severity, from_ns, to_ns } => {
                let sql = "SELECT count(*) FROM events WHERE severity = ?1 AND time >= ?2 AND time < ?3";
                let (ns, count) = timed(|| self.count(sql, &[severity, from_ns, to_ns]))?;
                Ok((ns, Answer::count(count)))
            }
            Question::Substring { piece } => {
                let (ns, count) = timed(|| self.count("SELECT count(*) FROM events WHERE instr(details, ?1) > 0", &[piece]))?;
                Ok((ns, Answer::count(count)))
            }
        }
    }
}

fn group(row: Vec<Value>) -> Option<(String, u64)> {
    match row.as_slice() {
        [Value::Text(name), Value::Integer(count)] => Some((name.clone(), u64::try_from(*count).ok()?)),
        _ => None,
    }
}

fn rows((ns, rows): (u64, Vec<Vec<Value>>)) -> Result<Answered> {
    let mut answer = Answer::default();
    for row in rows {
        match (row.get(ID_COLUMN), row.get(DETAILS_COLUMN)) {
            (Some(Value::Blob(id)), Some(Value::Text(details))) => answer.row(&uuid_text(id), details),
            _ => return Err("SQLite gave back other columns".into()),
        }
    }
    Ok((ns, answer))
}

fn uuid_bytes(text: &str) -> Result<Vec<u8>> {
    let digits = text.replace('-', "");
    let mut bytes = u128::from_str_radix(&digits, 16)?.to_le_bytes();
    // The first digits are the time: in this order ids lie in the index as they were made.
    bytes.reverse();
    Ok(bytes.to_vec())
}

fn uuid_text(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let ends = [8, 12, 16, 20, 32];
    let starts = [0].into_iter().chain(ends);
    starts.zip(ends).filter_map(|(start, end)| digits.get(start..end)).collect::<Vec<_>>().join("-")
}
