//! Asking a server how it is, from the machine that it runs on: for `indelible health`, and so for containers.
//!
//! The configuration that starts the server says where it listens and which certificate it shows. That very certificate is asked for: there are
//! no names and no authorities to get wrong.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::config::Config;

/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, shortened if it is long.
    pub body: String,
}

/// Asks the server that `config` starts for `path`. Connecting, and each step of the answer, may take `limit`.
///
/// # Errors
/// Nobody answers, or not as the configured server would.
pub fn probe(config: &Config, path: &str, limit: Duration) -> io::Result<Answer> {
    let address = address(config.text("listen.http"))?;
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    match config.text("tls.certificate") {
        "" => ask(stream, address, path),
        certificate => ask(StreamOwned::new(tls(Path::new(certificate), address.ip())?, stream), address, path),
    }
}

/// Where a server that listens there can be asked from its own machine.
fn address(listen: &str) -> io::Result<SocketAddr> {
    let mut address: SocketAddr = listen.parse().map_err(io::Error::other)?;
    if address.port() == 0 {
        return Err(io::Error::other("the configuration leaves the port to the system"));
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

fn ask(mut stream: impl Read + Write, host: SocketAddr, path: &str) -> io::Result<Answer> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    // A connection that ends without a farewell has said what it had to say.
    match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes) {
        Err(error) if bytes.is_empty() => return Err(error),
        _ => {}
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("what answers there does not speak HTTP"))?;
    Ok(Answer { status, body: body.trim().to_owned() })
}

fn tls(certificate: &Path, ip: IpAddr) -> io::Result<ClientConnection> {
    let expected = CertificateDer::from_pem_file(certificate)
        .map_err(|error| io::Error::other(format!("{} cannot be used: {error}", certificate.display())))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ThisOne { expected, provider }))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::from(ip)).map_err(io::Error::other)
}

/// Takes one certificate, whoever issued it and whatever its names and times are; the handshake has to be signed with its key.
#[derive(Debug)]
struct ThisOne {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ThisOne {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(
                "another certificate than the configured one is shown: was it renewed since the start?".into(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:8410", Some("127.0.0.1:8410")),
            ("[::]:8410", Some("[::1]:8410")),
            ("192.0.2.7:80", Some("192.0.2.7:80")),
            ("127.0.0.1:0", None),
            ("somewhere", None),
        ] {
            assert_eq!(address(listen).ok(), asked.map(|asked| asked.parse().unwrap()), "{listen}");
        }
    }
}
