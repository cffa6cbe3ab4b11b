//! Which servers are believed, and what to do about one that is not.

use std::sync::Arc;

use rustls::CertificateError;
use rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::error::{ClientError, ErrorKind};

/// What sockets speak TLS with: `pem` holds the certificates to believe, instead of this machine's.
///
/// # Errors
/// `Config`: there is no certificate in it, or on this machine.
pub(crate) fn tls(pem: Option<&[u8]>) -> Result<TlsConfig, ClientError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(TlsConfig::builder().root_certs(RootCerts::from(roots(pem)?)).unversioned_rustls_crypto_provider(provider).build())
}

/// The certificates to believe: those given, or this machine's.
fn roots(pem: Option<&[u8]>) -> Result<Vec<Certificate<'static>>, ClientError> {
    let Some(pem) = pem else {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let error = ClientError::new(ErrorKind::Config, "this machine has no certificates to believe a server by");
            return Err(error.with_hint(format!("install ca-certificates, or {OWN_AUTHORITY}")));
        }
        return Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned()).collect());
    };
    let mut roots = Vec::new();
    for item in parse_pem(pem) {
        let wrong = |error| ClientError::caused(ErrorKind::Config, "the certificates cannot be read as PEM", error);
        if let PemItem::Certificate(certificate) = item.map_err(wrong)? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err(ClientError::new(ErrorKind::Config, "there is no certificate (PEM) among those to believe"));
    }
    Ok(roots)
}

const OWN_AUTHORITY: &str = "name the authority that signed the server's certificate, a PEM file: --ca FILE, or Options::roots";

/// What to do when no connection by TLS came about; `None` if something else went wrong.
pub(crate) fn hint(error: &ureq::Error) -> Option<String> {
    let failed = match error {
        ureq::Error::Rustls(failed) => failed,
        // The handshake is part of the first write.
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    Some(match failed {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("nobody who is believed here vouches for it: {OWN_AUTHORITY}")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "use a name or address that the server's certificate is for".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "have the server's certificate renewed, and check the clock of this machine".to_owned(),
        rustls::Error::InvalidMessage(_) => {
            "does the server speak TLS on this port? without it, its address begins with http://".to_owned()
        }
        _ => "check the server's certificate, and whether --ca names the authority that signed it".to_owned(),
    })
}
