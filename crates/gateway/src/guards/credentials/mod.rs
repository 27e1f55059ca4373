//! Credentials: per tenant, per name, sealed to both.
