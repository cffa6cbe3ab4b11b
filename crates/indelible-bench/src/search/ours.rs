//! Our store asked through the public API: one function per question, to be changed when the API learns to answer it better.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;

use indelible::search::{Filter, Query, View};
use indelible::{Field, Reader, Record};

use super::questions::{PAGE_ROWS, Question};
use super::{Answer, Answered, timed};
use crate::Result;

/// The log that events of the normal and critical lanes go to.
const LOG_MAIN: u32 = 1;

/// A store on disk, open for reading.
pub(crate) struct Ours {
    reader: Reader,
}

/// One event as an answer holds it: whole.
pub(crate) struct Row {
    record: Vec<u8>,
}

impl Ours {
    pub(crate) fn open(store: &Path) -> Result<Self> {
        Ok(Self { reader: Reader::open(store)? })
    }

    /// Asks through a reader that is there.
    pub(crate) const fn over(reader: Reader) -> Self {
        Self { reader }
    }

    /// Answers, and says how long that took.
    pub(crate) fn ask(&self, question: &Question) -> Result<Answered> {
        match question {
            Question::ById { id } => rows(timed(|| self.by_id(id))?),
            Question::LastOfActor { actor } => rows(timed(|| self.last_of_actor(actor))?),
            Question::LastOfTenantAction { tenant, action } => rows(timed(|| self.last_of_tenant_action(tenant, action))?),
            Question::CountByAction => {
                let (ns, counts) = timed(|| self.count_by_action())?;
                Ok((ns, Answer::groups(counts)))
            }
            Question::SeverityInHour { severity, from_ns, to_ns } => {
                let (ns, count) = timed(|| self.count_severity(severity, *from_ns, *to_ns))?;
                Ok((ns, Answer::count(count)))
            }
            Question::Substring { piece } => {
                let (ns, count) = timed(|| self.count_in_details(piece))?;
                Ok((ns, Answer::count(count)))
            }
        }
    }

    fn by_id(&self, id: &str) -> Result<Vec<Row>> {
        self.newest(Filter::field("id").is(id), 1)
    }

    fn last_of_actor(&self, actor: &str) -> Result<Vec<Row>> {
        self.newest(Filter::field("actor.id").is(actor), PAGE_ROWS)
    }

    fn last_of_tenant_action(&self, tenant: &str, action: &str) -> Result<Vec<Row>> {
        self.newest(Filter::field("tenant").is(tenant).and(Filter::field("action").is(action)), PAGE_ROWS)
    }

    fn count_by_action(&self) -> Result<BTreeMap<String, u64>> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        self.each(&mut query(&Filter::All)?, &mut |view| match counts.get_mut(view.head.action) {
            Some(count) => *count += 1,
            None => drop(counts.insert(view.head.action.to_owned(), 1)),
        })?;
        Ok(counts)
    }

    fn count_severity(&self, severity: &str, from_ns: i64, to_ns: i64) -> Result<u64> {
        let mut query = query(&Filter::field("severity").is(severity))?;
        (query.since, query.until) = (Some(from_ns), Some(to_ns));
        self.each(&mut query, &mut |_| {})
    }

    fn count_in_details(&self, piece: &str) -> Result<u64> {
        self.each(&mut query(&format!("details.*:*{piece}*").parse()?)?, &mut |_| {})
    }

    /// The newest matches, newest first.
    fn newest(&self, filter: Filter, rows_max: usize) -> Result<Vec<Row>> {
        let mut page = VecDeque::with_capacity(rows_max);
        self.each(&mut query(&filter)?, &mut |view| {
            if page.len() == rows_max {
                page.pop_front();
            }
            page.push_back(Row { record: view.record.bytes().to_vec() });
        })?;
        Ok(page.into_iter().rev().collect())
    }

    /// Shows every match; returns how many there are. An incomplete answer is an error.
    fn each(&self, query: &mut Query, each: &mut dyn FnMut(&View<'_>)) -> Result<u64> {
        query.log = Some(LOG_MAIN);
        let summary = self.reader.search(query, &mut |view| {
            each(view);
            ControlFlow::Continue(())
        })?;
        match summary.incomplete {
            None => Ok(summary.matched),
            Some(why) => Err(format!("the answer is incomplete: {why}").into()),
        }
    }
}

fn query(filter: &Filter) -> Result<Query> {
    Ok(Query::new(filter, 0)?)
}

fn rows((ns, rows): (u64, Vec<Row>)) -> Result<Answered> {
    let mut answer = Answer::default();
    for row in &rows {
        let record = Record::parse(&row.record).ok_or("a row is no record")?;
        let head = record.head().ok_or("a row has no head")?;
        let details = record.field(Field::Details).and_then(|bytes| std::str::from_utf8(bytes).ok());
        answer.row(&head.id.to_string(), details.ok_or("a row has no details")?);
    }
    Ok((ns, answer))
}
