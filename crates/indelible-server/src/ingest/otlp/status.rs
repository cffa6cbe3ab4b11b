//! What OTLP says when it fails: a `google.rpc.Status`, over HTTP and gRPC.

use std::time::Duration;

use indelible::json::write_string;
use prost::Message;
use tonic::{Code, Status};

use crate::http::Problem;

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// For gRPC. With what is to be sent again it says when: exporters give up what is beyond a rate unless it does.
pub(super) fn status(problem: Problem) -> Status {
    let code = match problem.status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 => Code::DeadlineExceeded,
        429 => Code::ResourceExhausted,
        503 | 507 => Code::Unavailable,
        500 => Code::Internal,
        _ => Code::InvalidArgument,
    };
    let Some(after) = problem.after else { return Status::new(code, problem.detail) };
    let details = RpcStatus { code: code.into(), message: problem.detail.clone(), details: vec![retry(after)] };
    Status::with_details(code, problem.detail, details.encode_to_vec().into())
}

fn retry(after: Duration) -> Any {
    let delay = Delay {
        seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(after.subsec_nanos()).unwrap_or_default(),
    };
    Any { type_url: RETRY_INFO.to_owned(), value: RetryInfo { retry_delay: Some(delay) }.encode_to_vec() }
}

/// For HTTP, in the encoding of the request: a code (2, unknown) and a message. The header `Retry-After` says when.
pub(super) fn told(problem: &Problem, is_json: bool) -> Vec<u8> {
    if is_json {
        let mut body = b"{\"code\":2,\"message\":".to_vec();
        write_string(&mut body, &problem.detail);
        body.push(b'}');
        return body;
    }
    RpcStatus { code: 2, message: problem.detail.clone(), details: Vec::new() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn what_is_to_be_sent_again_says_when() {
        let many = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", "too many").after(Duration::from_millis(2_250));
        let response = status(many).into_http::<()>();
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("grpc-status"), "8");
        let details = STANDARD_NO_PAD.decode(header("grpc-status-details-bin").trim_end_matches('=')).unwrap();
        let told = RpcStatus::decode(&details[..]).unwrap();
        assert_eq!((told.code, told.message.as_str()), (8, "too many"));
        assert_eq!(told.details[0].type_url, RETRY_INFO);
        let delay = RetryInfo::decode(&told.details[0].value[..]).unwrap().retry_delay;
        assert_eq!(delay, Some(Delay { seconds: 2, nanos: 250_000_000 }));
        for (problem, code) in [(Problem::busy("later"), "14"), (Problem::disk_full("full"), "14")] {
            let response = status(problem).into_http::<()>();
            assert_eq!(response.headers()["grpc-status"], code);
            assert!(response.headers().contains_key("grpc-status-details-bin"));
        }
        let wrong = status(Problem::bad("otlp", "nonsense")).into_http::<()>();
        assert!(!wrong.headers().contains_key("grpc-status-details-bin"), "it is not to be sent again");
    }
}
