//! Parameters of a URL, strictly: one that is not known is refused, so that a slip is no silent answer to another question.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::Problem;
use crate::server::Server;

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Server>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Server>) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => {
                use std::error::Error as _;
                let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                Err(Problem::bad("parameter", format!("the parameters of the URL cannot be read: {why}")))
            }
        }
    }
}
