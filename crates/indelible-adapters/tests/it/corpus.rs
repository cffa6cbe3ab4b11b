//! Real files: as many records come out as went in, and each says what it said.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;

use indelible_adapters::{AdaptError, Adapter, Format, ReadLimits, for_each_record};

use indelible_testkit::corpus;

use crate::support::{adapt_and_check, open};

/// What came out of some files.
#[derive(Debug, Default)]
struct Count {
    records: u64,
    refused: u64,
    opaque: u64,
    without_time: u64,
    formats: BTreeMap<&'static str, u64>,
    actions: BTreeMap<String, u64>,
}

/// Adapts every record of `path`; every `step`-th is checked field by field.
fn adapt_file(path: &Path, step: u64, adapter: &mut Adapter, count: &mut Count) {
    let mut refused: Vec<AdaptError> = Vec::new();
    for_each_record(&mut open(path), ReadLimits::default(), &mut |record| {
        let record = record.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count.records += 1;
        let note = |draft: &indelible_format::Draft<'_>| (draft.action.name().to_owned(), draft.time);
        let adapted = if count.records.is_multiple_of(step) {
            adapt_and_check(adapter, record.bytes, note)
        } else {
            adapter.adapt(record.bytes, note)
        };
        match adapted {
            Ok(adapted) => {
                *count.formats.entry(adapted.format.name()).or_default() += 1;
                *count.actions.entry(adapted.result.0).or_default() += 1;
                count.opaque += u64::from(adapted.notes.opaque.is_some());
                count.without_time += u64::from(adapted.result.1.is_none());
            }
            Err(error) => refused.push(error),
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    count.refused += refused.len() as u64;
}

fn adapt_folder(name: &str, ending: &str, step: u64) -> Option<Count> {
    let folder = corpus::folder(name)?;
    let mut count = Count::default();
    let mut adapter = Adapter::new(None);
    for path in corpus::files(&folder, ending) {
        adapt_file(&path, step, &mut adapter, &mut count);
    }
    Some(count)
}

#[test]
fn cloudtrail_delivery_files_give_2900_events_and_every_scalar() {
    let Some(count) = adapt_folder("cloudtrail-invictus", ".json.gz", 1) else { return };
    assert_eq!((count.records, count.refused, count.opaque, count.without_time), (2900, 0, 0, 0));
    assert_eq!(count.formats, BTreeMap::from([("cloudtrail", 2900)]));
    assert_eq!(count.actions["kms.Decrypt"], 178);
    assert_eq!(count.actions["iam.GetUser"], 130);
    assert!(count.actions["resource-explorer-2.ListIndexes"] > 0);
}

#[test]
fn kubernetes_traces_give_one_event_each() {
    let Some(count) = adapt_folder("k8s-audit-falco/trace_files", ".json", 1) else { return };
    assert_eq!((count.records, count.refused), (30, 0));
    // One trace is there to be no audit event: `{"kind": 0}`.
    assert_eq!(count.formats, BTreeMap::from([("json", 1), ("kubernetes", 29)]));
    assert_eq!((count.without_time, count.actions["record.import"]), (1, 1));
}

#[test]
fn ocsf_examples_are_known_by_class_and_activity() {
    let Some(count) = adapt_folder("ocsf-java-tools", "ocsf.json", 1) else { return };
    assert!(count.records > 0 && count.refused == 0, "{count:?}");
    assert_eq!(count.formats, BTreeMap::from([("ocsf", count.records)]));
    assert!(count.actions.contains_key("process_activity.launch"), "{count:?}");
    assert!(count.actions.contains_key("process_activity.terminate"), "{count:?}");
}

#[test]
fn parsed_windows_events_of_other_tools_are_windows_events() {
    let Some(count) = adapt_folder("ocsf-java-tools/microsoft", "parsed.json", 1) else { return };
    assert_eq!(count.formats, BTreeMap::from([("windows", count.records)]));
    assert_eq!(count.actions["process.start"], 2);
    assert_eq!(count.actions["process.stop"], 2);
}

#[test]
fn every_line_of_the_windows_recordings_is_a_record() {
    let Some(folder) = corpus::folder("otrf-security-datasets") else { return };
    let mut count = Count::default();
    let mut lines = 0;
    let mut adapter = Adapter::new(None);
    for path in corpus::files(&folder, ".zst") {
        let mut input = open(&path);
        loop {
            let chunk = input.fill_buf().unwrap();
            let length = chunk.len();
            if length == 0 {
                break;
            }
            lines += memchr::memchr_iter(b'\n', chunk).count() as u64;
            input.consume(length);
        }
        adapt_file(&path, 50, &mut adapter, &mut count);
    }
    assert_eq!(lines, 219_820);
    assert_eq!(count.records, lines);
    // The recording of Linux auditd is no JSON.
    assert_eq!(count.refused, 12);
    assert_eq!(count.formats, BTreeMap::from([("cloudtrail", 103), ("windows", 219_705)]));
    assert_eq!(count.opaque, 0);
    assert!(!count.actions.contains_key("record.import"));
    assert!(count.actions["windows-sysmon.10"] > 90_000, "{:?}", count.actions);
}

#[test]
fn evtx_converted_to_json_is_known() {
    let Some(count) = adapt_folder("sigma-regression", ".json", 1) else { return };
    assert!(count.records > 0 && count.refused == 0, "{count:?}");
    assert_eq!(count.formats.get("windows"), Some(&count.records), "{count:?}");
    assert_eq!(count.without_time, 0);
}

#[test]
fn one_event_of_each_log_source_is_told_apart() {
    let Some(folder) = corpus::folder("rsigma-schema-classification") else { return };
    let mut adapter = Adapter::new(None);
    for path in corpus::files(&folder, "test_event.json") {
        let source = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let record = std::fs::read(&path).unwrap();
        let adapted = adapt_and_check(&mut adapter, &record, |draft| draft.action.name().to_owned()).unwrap();
        let expected = match &*source {
            // This sample repeats a key, so it is kept as it came.
            "aws_cloudtrail" => "record.opaque",
            "aws_vpcflow" => "event.ACCEPT",
            "azure_auditlogs" => "event.Add_service_principal",
            "azure_signinlogs" => "record.import",
            "gcp_audit" => "storage.buckets.list",
            "microsoft365_audit" => "event.Disable_Strong_Authentication",
            "okta_system_log" => "user.lifecycle.activate.pre_auth",
            other => panic!("a new sample: {other}"),
        };
        assert_eq!(adapted.result, expected, "{source}");
        assert_eq!(adapted.format, Format::Json);
    }
}

#[test]
fn arrays_of_kernel_audit_records_are_read_by_the_generic_adapter() {
    let Some(folder) = corpus::folder("linux-auditd-go-libaudit") else { return };
    let mut elements = 0;
    for path in corpus::files(&folder, ".golden") {
        let golden: serde_json::Value = serde_json::from_reader(open(&path)).unwrap();
        elements += golden.as_array().unwrap().len() as u64;
    }
    let count = adapt_folder("linux-auditd-go-libaudit", ".golden", 1).unwrap();
    assert!(elements > 0);
    assert_eq!((count.records, count.refused), (elements, 0));
    assert_eq!(count.formats, BTreeMap::from([("json", elements)]));
    assert!(count.actions.contains_key("user.login"), "{count:?}");
}
