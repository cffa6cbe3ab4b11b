//! TLS by rustls with aws-lc-rs: 1.2 and 1.3, certificates from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use super::validity::Validity;

/// What a listener needs to speak TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    /// Of the server's own certificate, the first in its file.
    pub(crate) validity: Option<Validity>,
}

/// Reads certificate and key, which have to fit each other.
///
/// # Errors
/// In words, with the file that is wrong.
pub(crate) fn server(certificate: &Path, key: &Path, clients: Option<&Path>, protocols: &[&[u8]]) -> Result<Tls, String> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", path.display());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(|error| wrong(certificate, &error))?;
    let Some(own) = chain.first() else {
        return Err(wrong(certificate, &"there is no certificate in it"));
    };
    let validity = Validity::of(own);
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for authority in CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, &error))? {
                roots.add(authority.map_err(|error| wrong(path, &error))?).map_err(|error| wrong(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(path, &error))?)
        }
    };
    let together = |error| format!("{} and {} cannot be used together: {error}", certificate.display(), key.display());
    let mut config = builder.with_single_cert(chain, private).map_err(together)?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Tls { config: Arc::new(config), validity })
}
