//! What all callers' TLS has in common: the roots of trust are read once a run, and not once a caller.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::Verifier;

use super::{Target, http};

/// Trust in the machine's roots, and in an authority that the plan names.
pub(super) struct Trust(Result<ClientConfig, String>);

impl Trust {
    /// Reads the roots; an authority is in PEM.
    pub(super) fn new(authority: Option<&[u8]>) -> Self {
        Self(config(authority))
    }

    /// The TLS of one caller, who asks for these versions of HTTP. He resumes no other's sessions.
    ///
    /// # Errors
    ///
    /// When the machine's roots of trust or the authority cannot be read.
    pub(super) fn of_one(&self, versions: &[&str]) -> Result<ClientConfig, String> {
        let mut config = self.0.clone()?;
        config.resumption = Resumption::default();
        config.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
        Ok(config)
    }
}

fn config(authority: Option<&[u8]>) -> Result<ClientConfig, String> {
    let roots: Vec<CertificateDer<'static>> = match authority {
        None => Vec::new(),
        Some(pem) => CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the authority's certificate cannot be read: {error}"))?,
    };
    if authority.is_some() && roots.is_empty() {
        return Err("the authority's file has no certificate in it".to_owned());
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(roots.clone(), Arc::clone(&provider))
        .map_err(|error| error.to_string())?;
    let verifier = Named { certificates: roots, others: verifier };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// Believes exactly the certificates that the plan names, whoever has their keys, and of others what the machine believes. Most
/// servers in development show a certificate that is its own authority, which no verifier takes for a server's.
#[derive(Debug)]
struct Named {
    certificates: Vec<CertificateDer<'static>>,
    others: Verifier,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.certificates.iter().any(|named| named.as_ref() == end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        self.others.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.others.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.others.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.others.supported_verify_schemes()
    }
}

impl Target {
    /// Whether TLS is spoken where the plan's address says that it is not. No token is sent.
    pub(crate) async fn speaks_tls(&self) -> bool {
        let mut url = self.at("/");
        let (Ok(()), Ok(client)) = (url.set_scheme("https"), http::client(self)) else { return false };
        let asked = tokio::time::timeout(super::PATIENCE.min(self.left()), client.get(url).send()).await;
        match asked {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                let mut cause: Option<&dyn std::error::Error> = Some(&error);
                while let Some(next) = cause {
                    if next.to_string().contains("certificate") {
                        return true;
                    }
                    cause = next.source();
                }
                false
            }
            Err(_) => false,
        }
    }
}
