//! Which server is meant, and how it is reached: options, then the environment.

use std::path::{Path, PathBuf};

use clap::Args;
use indelible_client::{Connection, Token};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// The global options that say which server is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Ask this server instead of a data directory: https://audit.example.com
    ///
    /// For emit, import, search, tail, show, stats, facets, export, prove, verify, checkpoint and config reload. Default: $INDELIBLE_URL,
    /// unless --data is given. The token is in $INDELIBLE_TOKEN or --token-file, never on the command line, where everybody on this machine
    /// could read it.
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    url: Option<String>,

    /// File that holds the token for the server
    ///
    /// Default: $INDELIBLE_TOKEN.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    token_file: Option<PathBuf>,

    /// Certificates (PEM) that the server's has to go back to, instead of those of this machine
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    ca: Option<PathBuf>,

    /// Send the token by http to another machine, where everybody on the way can read it
    #[arg(long, global = true, help_heading = "Global options")]
    insecure: bool,
}

impl ServerArgs {
    /// Whether the command line itself names a server.
    pub(crate) const fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// The address: of the command line, or of the environment.
    pub(crate) fn url(&self) -> Option<String> {
        let known = std::env::var("INDELIBLE_URL").ok().filter(|url| !url.is_empty());
        self.url.clone().or(known)
    }

    /// An option that says how to reach a server.
    pub(crate) fn first_option(&self) -> Option<&'static str> {
        let options = [("--token-file", self.token_file.is_some()), ("--ca", self.ca.is_some()), ("--insecure", self.insecure)];
        options.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// A connection to the server at `url`.
    pub(crate) fn connect(&self, url: &str) -> Result<Connection> {
        let mut options = Connection::options().insecure(self.insecure);
        if let Some(token) = self.token()? {
            options = options.token(token);
        }
        if let Some(path) = &self.ca {
            options = options.roots(read(path)?);
        }
        Ok(options.open(url)?)
    }

    fn token(&self) -> Result<Option<Token>> {
        let text = match &self.token_file {
            Some(path) => {
                let bytes = Zeroizing::new(read(path)?);
                let text = std::str::from_utf8(&bytes).map_err(|_| Failure::usage(format!("{} is not text", path.display())))?;
                Some(Zeroizing::new(text.to_owned()))
            }
            None => std::env::var("INDELIBLE_TOKEN").ok().filter(|token| !token.is_empty()).map(Zeroizing::new),
        };
        Ok(text.map(|text| Token::new(&text)).transpose()?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::file("read", path, &error))
}
