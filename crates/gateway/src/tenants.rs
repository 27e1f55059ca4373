//! The tenants: who exists, and who may call.
