//! The columns of a segment, under the names that the search language, the API and the command use.

use std::sync::{Arc, LazyLock};

use arrow_schema::extension::Uuid;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// Names of the columns, where more than one module needs them.
pub(crate) mod name {
    pub(crate) const ACTOR: &str = "actor";
    pub(crate) const ORIGIN: &str = "origin";
    pub(crate) const PRODUCER: &str = "producer";
    pub(crate) const TRACE: &str = "trace";
    pub(crate) const RAW: &str = "raw";
    pub(crate) const IDEMPOTENCY: &str = "idempotency";
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::UInt64, true)
}

fn bytes(name: &str, length: i32) -> Field {
    Field::new(name, DataType::FixedSizeBinary(length), true)
}

fn time(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true)
}

fn group(name: &str, members: Vec<Field>) -> Field {
    Field::new_struct(name, members, true)
}

/// Members of one element of `targets`.
pub(crate) static TARGET: LazyLock<Fields> = LazyLock::new(|| vec![text("type"), text("id"), text("name")].into());

/// The element of `targets`.
pub(crate) fn target_item() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(TARGET.clone()), true))
}

/// The element of `frameworks`.
pub(crate) fn framework_item() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, true))
}

/// All columns, in the order in which they stand in the file.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("seq", DataType::UInt64, false),
        Field::new("kind", DataType::Utf8, false),
        bytes("id", 16).with_extension_type(Uuid),
        text("id_text"),
        time("time"),
        time("received"),
        text("tenant"),
        number("tenant_seq"),
        text("action"),
        text("outcome"),
        text("severity"),
        text("class"),
        text("source"),
        number("weight"),
        group(name::PRODUCER, vec![text("id"), number("epoch"), number("seq")]),
        group(name::TRACE, vec![bytes("trace_id", 16), bytes("span_id", 8)]),
        Field::new("frameworks", DataType::List(framework_item()), true),
        group(name::ACTOR, vec![text("id"), text("type"), text("name"), text("email")]),
        text("session"),
        group(name::ORIGIN, vec![text("ip"), text("user_agent"), text("host")]),
        text("identity_details"),
        Field::new("targets", DataType::List(target_item()), true),
        text("details"),
        group(name::RAW, vec![text("media_type"), Field::new("bytes", DataType::Binary, true)]),
        group(name::IDEMPOTENCY, vec![bytes("key", 16), bytes("statement", 16)]),
        text("control"),
        bytes("leaf", 32),
        Field::new("record", DataType::Binary, true),
    ]))
});

/// What a row is.
pub(crate) mod kind {
    pub(crate) const EVENT: &str = "event";
    pub(crate) const CONTROL: &str = "control";
    pub(crate) const LEAF: &str = "leaf";
}
