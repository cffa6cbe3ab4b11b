//! Parameters of a URL, strictly: one that is not known is refused, so that a slip is no silent answer to another question.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use hyper::Uri;
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::Problem;
use crate::read::asked::Asked;
use crate::server::Server;

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Server>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Server>) -> Result<Self, Problem> {
        read(&parts.uri).map(Self)
    }
}

/// A question, and whatever else a request says in its URL.
///
/// Two structures out of one URL: what serde flattens into one can neither hold numbers nor refuse what is unknown.
#[derive(Debug)]
pub(crate) struct Asking<T>(pub(crate) Asked, pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Server>> for Asking<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Server>) -> Result<Self, Problem> {
        let (question, others) = divided(parts.uri.query().unwrap_or_default());
        Ok(Self(read(&question)?, read(&others)?))
    }
}

/// What belongs to the question, and the others.
fn divided(query: &str) -> (Uri, Uri) {
    let of_question = |pair: &&str| Asked::PARAMETERS.contains(&pair.split('=').next().unwrap_or_default());
    let (question, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(of_question);
    // Parts of what was a URL are one.
    let uri = |pairs: Vec<&str>| format!("/?{}", pairs.join("&")).parse().unwrap_or_default();
    (uri(question), uri(others))
}

fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::<T>::try_from_uri(uri) {
        Ok(Query(parameters)) => Ok(parameters),
        Err(error) => {
            use std::error::Error as _;
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Err(Problem::bad("parameter", format!("the parameters of the URL cannot be read: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use utoipa::IntoParams as _;
    use utoipa::openapi::path::ParameterIn;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Others {
        limit: Option<u64>,
    }

    fn asked(query: &str) -> Result<(Asked, Others), Problem> {
        let (question, others) = divided(query);
        Ok((read(&question)?, read(&others)?))
    }

    #[test]
    fn a_question_and_numbers_are_read_and_a_slip_is_refused() {
        let (question, others) = asked("limit=5&q=actor%3Aal%26limit%3D6+x&since=now-1h").unwrap();
        assert_eq!((question.q.as_deref(), question.since.as_deref()), (Some("actor:al&limit=6 x"), Some("now-1h")));
        assert_eq!(others.limit, Some(5));
        assert_eq!(asked("").unwrap().1.limit, None);
        for wrong in ["query=x", "q=a&q=b", "limit=many", "limit=1&limit=2", "untill=now"] {
            assert_eq!(asked(wrong).unwrap_err().code, "parameter", "{wrong}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_document() {
        let told = Asked::into_params(|| Some(ParameterIn::Query));
        let names: Vec<&str> = told.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(names, Asked::PARAMETERS);
    }
}
