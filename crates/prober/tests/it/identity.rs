//! Identity: each spoof is found where it works.

use crate::support::sensitive;

#[tokio::test(flavor = "multi_thread")]
async fn spoofed_tenants_are_found() {
    sensitive(&[
        ("tenant-argument", "ID-17"),
        ("tenant-nested", "ID-18"),
        ("tenant-meta", "ID-19"),
        ("tenant-header", "ID-20"),
        ("second-credential", "ID-21"),
        ("tenant-path", "ID-24"),
        ("unsigned-token", "ID-02"),
        ("token-prefix", "ID-28"),
    ])
    .await;
}
