//! HTTP tools: one request to an upstream with the tenant's own credential.
