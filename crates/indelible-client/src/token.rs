//! The token: read from a text, never shown again.

use std::fmt;
use std::str::FromStr;

use ureq::http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::{ClientError, ErrorKind};

/// What proves to a server who asks: `indl_…`, as `indelible token create` printed it. Wiped when it is let go; never in `Debug`.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Reads a token; spaces and line ends around it, as files have them, are not part of it.
    ///
    /// # Errors
    /// `Config`: it is empty, or has characters that no token has. The message does not repeat it.
    pub fn new(text: &str) -> Result<Self, ClientError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::new(ErrorKind::Config, "the token is not one: it has 1 or more visible ASCII characters"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// As the value of `authorization`; marked, so that nobody's log shows it.
    pub(crate) fn header(&self) -> Result<HeaderValue, ClientError> {
        let text = Zeroizing::new(format!("Bearer {}", *self.0));
        let mut value = HeaderValue::from_str(&text).map_err(|_| ClientError::new(ErrorKind::Config, "the token is not one"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl FromStr for Token {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        Self::new(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
