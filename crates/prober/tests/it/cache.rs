//! Cache: what one tenant's request left behind.

use crate::support::sensitive;

#[tokio::test(flavor = "multi_thread")]
async fn caches_without_the_tenant_are_found() {
    sensitive(&[("cache-by-id", "CA-01"), ("list-cache", "CA-02")]).await;
}
