//! State (section 7).

use serde_json::json;

use crate::support::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for caller in [&mut acme, &mut globex] {
        eprintln!("{:?}", caller.whoami().await);
        eprintln!("{:?}", caller.tool_names().await);
        for (tool, args) in [("get_ticket", json!({"id":4})), ("customer_profile", json!({"customer_id":"cus_1001"})), ("ambient", json!({})), ("totals", json!({})), ("customer_profile", json!({"customer_id":"stray"}))] {
            eprintln!("{:?}", caller.call(tool, args.clone()).await);
            eprintln!("{:?}", caller.modern_call(tool, args).await);
        }
    }
}
