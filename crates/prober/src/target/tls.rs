//! What all callers' TLS has in common: the roots of trust are read once a run, and not once a caller.

use std::sync::Arc;

use rustls::{
    ClientConfig,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;

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
    let verifier =
        Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).map_err(|error| error.to_string())?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}
