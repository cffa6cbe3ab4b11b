//! tantivy (MIT): every asked field indexed, those that are counted or sorted by as fast fields, the JSON text stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tantivy::aggregation::AggregationCollector;
use tantivy::collector::{Count, TopDocs};
use tantivy::query::{AllQuery, BooleanQuery, Query, RangeQuery, RegexQuery, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value as _,
};
use tantivy::{Index, IndexWriter, Order, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::corpus::Corpus;
use super::questions::{PAGE_ROWS, Question};
use super::{Answer, Answered, Peer, timed};
use crate::Result;

const WRITER_BYTES: usize = 400 << 20;

pub(super) struct Tantivy {
    dir: PathBuf,
    fields: Fields,
    open: Option<Searcher>,
}

struct Fields {
    schema: Schema,
    seq: Field,
    id: Field,
    time: Field,
    tenant: Field,
    action: Field,
    severity: Field,
    actor: Field,
    details: Field,
    event: Field,
}

impl Fields {
    fn new() -> Self {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default().set_tokenizer("default").set_index_option(IndexRecordOption::Basic);
        Self {
            seq: schema.add_u64_field("seq", FAST),
            id: schema.add_text_field("id", STRING),
            time: schema.add_i64_field("time", FAST | INDEXED),
            tenant: schema.add_text_field("tenant", STRING),
            action: schema.add_text_field("action", STRING | FAST),
            severity: schema.add_text_field("severity", STRING),
            actor: schema.add_text_field("actor", STRING),
            details: schema.add_text_field("details", TextOptions::default().set_indexing_options(words)),
            event: schema.add_text_field("event", STORED),
            schema: schema.build(),
        }
    }
}

impl Tantivy {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, fields: Fields::new(), open: None }
    }

    fn searcher(&self) -> Result<&Searcher> {
        self.open.as_ref().ok_or_else(|| "tantivy is not open".into())
    }

    /// The newest matches' stored texts.
    fn newest(&self, query: &dyn Query, rows_max: usize) -> Result<Vec<String>> {
        let searcher = self.searcher()?;
        let newest = TopDocs::with_limit(rows_max).order_by_fast_field::<u64>("seq", Order::Desc);
        let mut rows = Vec::new();
        for (_, address) in searcher.search(query, &newest)? {
            let document: TantivyDocument = searcher.doc(address)?;
            rows.push(document.get_first(self.fields.event).and_then(|value| value.as_str()).unwrap_or_default().to_owned());
        }
        Ok(rows)
    }

    fn count(&self, query: &dyn Query) -> Result<u64> {
        Ok(self.searcher()?.search(query, &Count)? as u64)
    }

    fn count_by_action(&self) -> Result<serde_json::Value> {
        let request = serde_json::from_value(json!({"actions": {"terms": {"field": "action", "size": 1_000}}}))?;
        let collector = AggregationCollector::from_aggs(request, tantivy::aggregation::AggContextParams::default());
        Ok(serde_json::to_value(self.searcher()?.search(&AllQuery, &collector)?)?)
    }
}

fn term(field: Field, text: &str) -> TermQuery {
    TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic)
}

impl Peer for Tantivy {
    fn name(&self) -> &'static str {
        "tantivy"
    }

    fn load(&mut self, corpus: &Corpus<'_>) -> Result<()> {
        let fields = &self.fields;
        fs::create_dir_all(&self.dir)?;
        let index = Index::create_in_dir(&self.dir, fields.schema.clone())?;
        let mut writer: IndexWriter = index.writer_with_num_threads(2, WRITER_BYTES)?;
        let mut text = String::new();
        for (seq, nth) in (0u64..).zip(&corpus.order) {
            let event = corpus.zipf.at(*nth);
            let mut document = TantivyDocument::default();
            document.add_u64(fields.seq, seq);
            document.add_text(fields.id, event.id.text());
            document.add_i64(fields.time, event.time_ns);
            document.add_text(fields.tenant, event.tenant);
            document.add_text(fields.action, event.action.name());
            document.add_text(fields.severity, event.severity());
            document.add_text(fields.actor, event.actor_id);
            text.clear();
            event.details_json(&mut text);
            document.add_text(fields.details, &text);
            text.clear();
            event.json_line(&mut text);
            document.add_text(fields.event, text.trim_end());
            writer.add_document(document)?;
        }
        writer.commit()?;
        writer.wait_merging_threads()?;
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        let reader = Index::open_in_dir(&self.dir)?.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        self.open = Some(reader.searcher());
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.open = None;
        Ok(())
    }

    fn ask(&mut self, question: &Question) -> Result<Answered> {
        let fields = &self.fields;
        match question {
            Question::ById { id } => rows(timed(|| self.newest(&term(fields.id, id), 1))?),
            Question::LastOfActor { actor } => rows(timed(|| self.newest(&term(fields.actor, actor), PAGE_ROWS))?),
            Question::LastOfTenantAction { tenant, action } => rows(timed(|| {
                let both: Vec<Box<dyn Query>> =
                    vec![Box::new(term(fields.tenant, tenant)), Box::new(term(fields.action, action))];
                self.newest(&BooleanQuery::intersection(both), PAGE_ROWS)
            })?),
            Question::CountByAction => {
                let (ns, found) = timed(|| self.count_by_action())?;
                let buckets = found.pointer("/actions/buckets").and_then(|buckets| buckets.as_array());
                let group = |bucket: &serde_json::Value| {
                    Some((bucket.get("key")?.as_str()?.to_owned(), bucket.get("doc_count")?.as_u64()?))
                };
                let groups: Option<BTreeMap<_, _>> = buckets.and_then(|buckets| buckets.iter().map(group).collect());
                Ok((ns, Answer::groups(groups.ok_or("tantivy counted strangely")?)))
            }
            Question::SeverityInHour { severity, from_ns, to_ns } => {
                let (ns, count) = timed(|| {
                    let [from, to] = [from_ns, to_ns].map(|time| Term::from_field_i64(fields.time, *time));
                    let hour = RangeQuery::new(std::ops::Bound::Included(from), std::ops::Bound::Excluded(to));
                    let both: Vec<Box<dyn Query>> = vec![Box::new(term(fields.severity, severity)), Box::new(hour)];
                    self.count(&BooleanQuery::intersection(both))
                })?;
                Ok((ns, Answer::count(count)))
            }
            Question::Substring { piece } => {
                let (ns, count) = timed(|| self.count(&RegexQuery::from_pattern(&format!(".*{piece}.*"), fields.details)?))?;
                Ok((ns, Answer::count(count)))
            }
        }
    }
}

fn rows((ns, rows): (u64, Vec<String>)) -> Result<Answered> {
    let mut answer = Answer::default();
    for row in rows {
        let event: serde_json::Value = serde_json::from_str(&row)?;
        let id = event.get("id").and_then(|id| id.as_str()).ok_or("tantivy gave back another text")?;
        answer.row(id, &event.get("details").ok_or("tantivy gave back another text")?.to_string());
    }
    Ok((ns, answer))
}
