//! What tenants do: scripts of steps, drawn at random.

use proptest::prelude::*;

/// One tenant's steps, in order.
pub(super) type Script = Vec<Step>;

/// One thing a tenant does.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Calls a tool with arguments given as JSON.
    Call(&'static str, String),
    /// The same in the stateless revision.
    Modern(&'static str, String),
    /// A call with progress, answered as a stream of events.
    Stream(u8),
    /// Lists the tools.
    List,
    /// Sends something that is no call.
    Garbage(&'static str),
    /// Calls a slow tool and hangs up before the answer.
    HangUp,
    /// Is suspended, calls, is resumed.
    Suspended,
    /// Calls without a credential.
    Anonymous,
    /// Calls with a credential that has ended.
    Expired,
    /// Sends more than is allowed, announced or not.
    Oversize { announced: bool },
    /// Sends a part of a call and hangs up.
    Half,
    /// Hangs up in the middle of a stream, once it has begun.
    LeaveStream,
}

/// The tools that answer quickly and the arguments they are called with.
fn call() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        2 => Just(("whoami", "{}".to_owned())),
        3 => (1..5_u8).prop_map(|limit| ("list_tickets", format!("{{\"limit\":{limit}}}"))),
        2 => (0..6_u8).prop_map(|id| ("get_ticket", format!("{{\"id\":{id}}}"))),
        2 => prop::sample::select(vec!["a", "o", "zz", "' OR 1=1 --", "%"])
            .prop_map(|query| ("search_tickets", format!("{{\"query\":\"{query}\"}}"))),
        3 => (0..4_u8, "[a-c]{1,3}").prop_map(|(id, body)| ("add_comment", format!("{{\"ticket_id\":{id},\"body\":\"{body}\"}}"))),
        3 => (1..4_u8).prop_map(|id| ("customer_profile", format!("{{\"customer_id\":\"cus_{id}\"}}"))),
        3 => Just(("count", "{}".to_owned())),
        2 => (0..3_u8).prop_map(|key| ("remember", format!("{{\"key\":\"k{key}\"}}"))),
        1 => Just(("fail", "{}".to_owned())),
        1 => Just(("panic", "{}".to_owned())),
        1 => (0..20_u8).prop_map(|turns| ("slow", format!("{{\"turns\":{turns}}}"))),
        2 => prop::sample::select(vec!["trip", "ask", "ask", "ask"])
            .prop_map(|how| ("breaker", format!("{{\"how\":\"{how}\"}}"))),
        2 => prop::sample::select(vec!["torn", "failed", "moved", "text", "refused"])
            .prop_map(|how| ("customer_profile", format!("{{\"customer_id\":\"{how}\"}}"))),
        1 => Just(("late", "{}".to_owned())),
        1 => Just(("large", "{}".to_owned())),
        1 => Just(("no_such_tool", "{}".to_owned())),
        1 => Just(("whoami", "{\"tenant_id\":\"t0\"}".to_owned())),
        1 => Just(("list_tickets", "{\"limit\":0}".to_owned())),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        14 => call().prop_map(|(tool, args)| Step::Call(tool, args)),
        8 => call().prop_map(|(tool, args)| Step::Modern(tool, args)),
        2 => (0..4_u8).prop_map(Step::Stream),
        1 => Just(Step::List),
        1 => prop::sample::select(vec!["{", "[]", "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", "\u{feff}{}"])
            .prop_map(Step::Garbage),
        1 => Just(Step::HangUp),
        1 => Just(Step::Suspended),
        1 => Just(Step::Anonymous),
        1 => Just(Step::Expired),
        1 => any::<bool>().prop_map(|announced| Step::Oversize { announced }),
        1 => Just(Step::Half),
        1 => Just(Step::LeaveStream),
    ]
}

/// Scripts for two to five tenants.
pub(super) fn history() -> impl Strategy<Value = Vec<Script>> {
    prop::collection::vec(prop::collection::vec(step(), 1..7), 2..=5)
}
