//! Context: requests without a tenant.

use crate::support::sensitive;

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_tenant_are_found_to_be_served() {
    sensitive(&[("default-tenant", "ID-01"), ("default-tenant", "ID-22")]).await;
}
