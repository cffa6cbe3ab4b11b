//! Client of an Indelible server: a [`Connection`] for requests.

mod connection;
mod error;
mod token;

pub use connection::{Connection, Options, Response};
pub use error::{ClientError, ErrorKind, Fault, Problem};
pub use token::Token;
