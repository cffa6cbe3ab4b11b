//! Our store asked through the public API: one function per question, to be changed when the API learns to answer it better.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use indelible::search::{Explain, Filter, Query, Selector};
use indelible::{Field, Reader, Record, SearchMemory};

use super::questions::{PAGE_ROWS, Question};
use super::{Answer, Answered, timed};
use crate::Result;

/// A store on disk, open for reading.
pub(crate) struct Ours {
    reader: Reader,
    /// How the page was found that was asked for last.
    explain: Cell<Explain>,
}

/// One event as an answer holds it: whole.
pub(crate) struct Row {
    record: Vec<u8>,
}

impl Ours {
    pub(crate) fn open(store: &Path) -> Result<Self> {
        Ok(Self::over(Reader::open(store)?))
    }

    /// Asks through a reader that is there.
    pub(crate) fn over(reader: Reader) -> Self {
        Self { reader, explain: Cell::default() }
    }

    /// How the page was found that was asked for last.
    pub(crate) const fn explain(&self) -> Explain {
        self.explain.get()
    }

    /// What is kept in memory for searching.
    pub(crate) fn memory(&self) -> SearchMemory {
        self.reader.search_memory()
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
        let facet = self.reader.facet(&query(&Filter::All)?, &Selector::new("action")?)?;
        whole(facet.summary.incomplete)?;
        Ok(facet.counts.into_iter().filter_map(|(action, count)| Some((action?, count))).collect())
    }

    fn count_severity(&self, severity: &str, from_ns: i64, to_ns: i64) -> Result<u64> {
        let mut query = query(&Filter::field("severity").is(severity))?;
        (query.since, query.until) = (Some(from_ns), Some(to_ns));
        self.count(&query)
    }

    fn count_in_details(&self, piece: &str) -> Result<u64> {
        self.count(&query(&format!("details.*:*{piece}*").parse()?)?)
    }

    fn count(&self, query: &Query) -> Result<u64> {
        let summary = self.reader.count(query)?;
        whole(summary.incomplete)?;
        Ok(summary.matched)
    }

    /// The newest matches, newest first.
    fn newest(&self, filter: Filter, rows_max: usize) -> Result<Vec<Row>> {
        let mut page = Vec::with_capacity(rows_max);
        let latest = self.reader.latest(&query(&filter)?, rows_max as u64, None, &mut |view| {
            page.push(Row { record: view.record.bytes().to_vec() });
            ControlFlow::Continue(())
        })?;
        self.explain.set(latest.explain);
        whole(latest.incomplete)?;
        Ok(page)
    }
}

/// An incomplete answer is an error.
fn whole(incomplete: Option<String>) -> Result<()> {
    incomplete.map_or(Ok(()), |why| Err(format!("the answer is incomplete: {why}").into()))
}

fn query(filter: &Filter) -> Result<Query> {
    let mut query = Query::new(filter, 0)?;
    // What is measured is finding an answer, not remembering it.
    query.remembered = false;
    Ok(query)
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
