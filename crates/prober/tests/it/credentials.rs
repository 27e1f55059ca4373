//! Credentials: whose key an upstream saw, and secrets in answers.

use crate::support::sensitive;

#[tokio::test(flavor = "multi_thread")]
async fn shared_and_shown_credentials_are_found() {
    sensitive(&[("shared-key", "CR-01"), ("secret-in-errors", "CR-07")]).await;
}
