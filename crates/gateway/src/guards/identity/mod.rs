//! Identity: the tenant comes from a validated credential and from nothing else.
