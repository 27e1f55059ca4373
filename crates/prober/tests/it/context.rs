//! Context: requests without a tenant.

use crate::support::{leaky, plain};

leaky! {
    requests_without_a_tenant_are_found_to_be_served(plain) = [("default-tenant", "ID-01"), ("default-tenant", "ID-22")];
}
